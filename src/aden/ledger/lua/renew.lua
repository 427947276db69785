-- Extend the lease of each operation and note its progress; one whose lease has ended meanwhile
-- lives after all: it holds again what it held.
-- ARGV: time, lease in ms, then of each operation: id, number of amounts, amounts.

local lease_until = clock() + tonumber(ARGV[2]) / 1000
local place = 3
while place < #ARGV do
  local id, count = ARGV[place], tonumber(ARGV[place + 1])
  local operation = read(id)
  if operation then
    local holds = operation.holds
    local ended = operation.state == 'unconfirmed'
    if ended then
      for i = 1, #holds, 4 do
        add(holds[i], holds[i + 1], 'held', holds[i + 2])
        add(holds[i], holds[i + 1], 'unconfirmed', -holds[i + 3])
      end
      operation.state = 'open'
      redis.call('ZREM', KEPT, id)
      redis.call('ZREM', UNCONFIRMED, id)
    end
    redis.call('ZADD', LEASES, exact(lease_until), id)
    local told = count * 4 == #holds
    for i = 1, told and count or 0 do
      holds[4 * i] = tonumber(ARGV[place + 1 + i])
    end
    if told or ended then
      write(id, operation)
    end
  end
  place = place + 2 + count
end
save()
return 1
