-- What the current window of each budget holds.
-- ARGV: time, the times for which the windows are right (from, until), the budgets (as in reserve).
-- Answer: time, 'balances' | 'clock', the balances (as in reserve).

local now = clock()
if now < tonumber(ARGV[2]) or now >= tonumber(ARGV[3]) then
  return { exact(now), 'clock' }
end
expire(now)
save()
local answer = { exact(now), 'balances' }
for _, budget in ipairs(read_budgets(4, now)) do
  answer[#answer + 1] = budget.told
end
return answer
