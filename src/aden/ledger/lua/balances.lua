-- What the current window of each budget holds.
-- ARGV: time, the times for which the windows are right (from, until), the budgets (as in reserve).
-- Answer: time, 'balances' | 'clock', the balances.

local now = clock()
if now < tonumber(ARGV[2]) or now >= tonumber(ARGV[3]) then
  return { exact(now), 'clock' }
end
expire(now)
local take = reader(4)
local answer = { exact(now), 'balances' }
for _ = 1, tonumber(take()) do
  local budget = read_budget(take, now)
  read_balance(budget)
  tell(answer, budget)
end
return answer
