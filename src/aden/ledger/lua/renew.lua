-- Extend the lease of each operation and note its progress.
-- ARGV: time, lease in ms, then of each operation: id, number of amounts, amounts.

local lease_until = clock() + tonumber(ARGV[2]) / 1000
local place = 3
while place < #ARGV do
  local id, count = ARGV[place], tonumber(ARGV[place + 1])
  local operation = read(id)
  if operation and operation.state == 'open' then
    redis.call('ZADD', LEASES, exact(lease_until), id)
    if count * 4 == #operation.holds then
      for i = 1, count do
        operation.holds[4 * i] = tonumber(ARGV[place + 1 + i])
      end
      write(id, operation)
    end
  end
  place = place + 2 + count
end
return 1
