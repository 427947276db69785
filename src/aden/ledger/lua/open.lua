-- Make the ledger where there is none; what a process wants to know before it begins.
-- ARGV: time, schema. Answer: time, schema, the typical outputs.

redis.call('HSETNX', BASE, 'schema', ARGV[2])
local schema = redis.call('HGET', BASE, 'schema')
return { exact(clock()), schema, redis.call('HGETALL', BASE .. ':outputs') }
