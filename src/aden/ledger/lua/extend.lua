-- Raise an operation's holds to the amounts; never lowers, never refuses.
-- ARGV: time, operation, amounts.

local operation = read(ARGV[2])
if not operation or operation.state ~= 'open' or operation.count ~= #ARGV - 2 then
  return 0
end
for i = 1, operation.count do
  local held, amount = tonumber(operation['a' .. i]), tonumber(ARGV[2 + i])
  if amount > held then
    add(operation['b' .. i], operation['w' .. i], 'held', amount - held)
    redis.call('HSET', operation_key(ARGV[2]), 'a' .. i, ARGV[2 + i])
  end
end
return 1
