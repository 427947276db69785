-- Raise an operation's holds to the amounts; never lowers, never refuses.
-- ARGV: time, operation, amounts.

local operation = read(ARGV[2])
if not operation or operation.state ~= 'open' or #operation.holds ~= 4 * (#ARGV - 2) then
  return 0
end
local holds = operation.holds
for i = 1, #holds, 4 do
  local amount = tonumber(ARGV[3 + (i - 1) / 4])
  if amount > holds[i + 2] then
    add(holds[i], holds[i + 1], 'held', amount - holds[i + 2])
    holds[i + 2] = amount
  end
end
save()
write(ARGV[2], operation)
return 1
