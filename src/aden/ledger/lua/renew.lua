-- Extend the lease of each operation and note its progress.
-- ARGV: time, lease in ms, then of each operation: id, number of amounts, amounts.

local lease_until = clock() + tonumber(ARGV[2]) / 1000
local place = 3
while place < #ARGV do
  local id, count = ARGV[place], tonumber(ARGV[place + 1])
  local known = redis.call('HMGET', operation_key(id), 'state', 'holds')
  if known[1] == 'open' then
    redis.call('ZADD', LEASES, exact(lease_until), id)
    if count == tonumber(known[2]) then
      for i = 1, count do
        redis.call('HSET', operation_key(id), 'r' .. i, ARGV[place + 1 + i])
      end
    end
  end
  place = place + 2 + count
end
return 1
