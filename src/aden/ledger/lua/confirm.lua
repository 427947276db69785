-- Settle an unconfirmed operation. ARGV[5]: operation, then budget and amount of what is corrected.

local now = clock()
local id = ARGV[5]
local operation = read(id)
if not operation or operation.state ~= 'unconfirmed' then
  save()
  return answer(0)
end
local corrected = {}
for i = 6, #ARGV, 2 do
  corrected[ARGV[i]] = tonumber(ARGV[i + 1])
end
drop(id)
local holds = operation.holds
for i = 1, #holds, 4 do
  local amount = corrected[holds[i]] or holds[i + 3]
  add(holds[i], holds[i + 1], 'settled', amount)
  note(now, 'confirm', holds[i], holds[i + 1], id, holds[i + 3], amount)
end
save()
keep(id, now + RETAIN_S)
return answer(1)
