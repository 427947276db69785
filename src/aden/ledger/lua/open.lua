-- Make the ledger where there is none; what a process wants to know before it begins.
-- ARGV: time, schema, the oldest schema whose programs can go on beside it, '1' to ask for the
-- eviction policy too. Answer: the oldest schema that may use it, the typical outputs, the policy by
-- which a full server throws keys away ('' where it does not, or nobody may know), and when it was
-- made: another time than before means that it was emptied in between.

redis.call('HSETNX', BASE, 'schema', ARGV[3])
redis.call('SET', BASE .. ':born', table.concat(redis.call('TIME'), '.'), 'NX')
local mine, oldest = tonumber(ARGV[2]), tonumber(ARGV[3])
local version = tonumber(redis.call('HGET', BASE, 'version') or '1')
if version < mine then
  -- What schema 1 booked is to be forgotten as well.
  for _, field in ipairs(redis.call('HKEYS', BALANCES)) do
    if string.sub(field, -6) ~= ':total' then
      redis.call('ZADD', AGES, 'GT', string.format('%.0f', forget_at('', clock())), 'b' .. field)
    end
  end
  redis.call('HSET', BASE, 'version', mine)
  if tonumber(redis.call('HGET', BASE, 'schema')) < oldest then
    redis.call('HSET', BASE, 'schema', oldest)
  end
end
local policy = ''
if ARGV[4] == '1' then
  local memory = redis.pcall('INFO', 'memory')
  if type(memory) == 'string' and not string.find(memory, 'maxmemory:0%s') then
    policy = string.match(memory, 'maxmemory_policy:(%S+)') or ''
  end
end
local outputs = redis.call('HGETALL', BASE .. ':outputs')
return { redis.call('HGET', BASE, 'schema'), outputs, policy, redis.call('GET', BASE .. ':born') }
