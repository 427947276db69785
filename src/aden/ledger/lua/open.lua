-- Make the ledger where there is none; what a process wants to know before it begins.
-- ARGV: time, schema, '1' to ask for the eviction policy too. Answer: schema, the typical outputs,
-- the policy by which a full server throws keys away ('' where it does not, or nobody may know).

redis.call('HSETNX', BASE, 'schema', ARGV[2])
local policy = ''
if ARGV[3] == '1' then
  local memory = redis.pcall('INFO', 'memory')
  if type(memory) == 'string' and not string.find(memory, 'maxmemory:0%s') then
    policy = string.match(memory, 'maxmemory_policy:(%S+)') or ''
  end
end
return { redis.call('HGET', BASE, 'schema'), redis.call('HGETALL', BASE .. ':outputs'), policy }
