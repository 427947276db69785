-- Hold the first option that fits, all its lines or none.
-- ARGV: time, operation, attempt, lease in ms, the times for which the windows are right (from,
-- until), the budgets, the options. A budget: name, number of windows, id and end of each. An option:
-- number of lines, then budget (its place), limit, amount, at risk, below or '', enforce.
-- Answer: time, then 'granted', option | reason, budget | 'clock' | 'abandoned'; the balances.

-- The one rule (rules.choose). Differences, not sums: they stay exact where a limit is 2**53.
local function fits(line, budget, held)
  if line.amount == 0 or not line.enforce then
    return true
  end
  local on_step = not line.below or budget.spent < line.below
  return on_step and line.amount <= line.limit - budget.spent - held
end

-- nil where the option fits, else the reason and the budget in the way.
local function obstacle(lines, budgets)
  local blocking, hard
  for _, line in ipairs(lines) do
    local budget = budgets[line.budget]
    if not fits(line, budget, budget.held) then
      blocking = blocking or line
      if not fits(line, budget, 0) then
        hard = hard or line
      end
    end
  end
  if hard then
    return 'exhausted', hard.budget
  end
  if blocking then
    return 'busy', blocking.budget
  end
  return nil
end

local function choose(options, budgets)
  local refusal, in_the_way
  for index, lines in ipairs(options) do
    local reason, budget = obstacle(lines, budgets)
    if not reason then
      return index
    end
    if not refusal or refusal == 'exhausted' then
      refusal, in_the_way = reason, budget
    end
  end
  return nil, refusal, in_the_way
end

local function read_options(take)
  local options = {}
  for index = 1, tonumber(take()) do
    local lines = {}
    for number = 1, tonumber(take()) do
      lines[number] = {
        budget = tonumber(take()),
        limit = tonumber(take()),
        amount = tonumber(take()),
        at_risk = tonumber(take()),
        below = tonumber(take()),
        enforce = take() == '1',
      }
    end
    options[index] = lines
  end
  return options
end

local function hold(id, attempt, lines, budgets, lease_until)
  local fields = { 'state', 'open', 'sent', '1', 'attempt', attempt, 'holds', #lines }
  for i, line in ipairs(lines) do
    local budget = budgets[line.budget]
    local values = {
      'b' .. i, budget.name,
      'w' .. i, budget.window,
      'a' .. i, string.format('%.0f', line.amount),
      'r' .. i, string.format('%.0f', line.at_risk),
    }
    for _, value in ipairs(values) do
      fields[#fields + 1] = value
    end
    add(budget.name, budget.window, 'held', line.amount)
  end
  redis.call('HSET', operation_key(id), unpack(fields))
  redis.call('ZADD', LEASES, exact(lease_until), id)
end

local now = clock()
local id, attempt, lease_ms = ARGV[2], ARGV[3], tonumber(ARGV[4])
if now < tonumber(ARGV[5]) or now >= tonumber(ARGV[6]) then
  return { exact(now), 'clock' }
end
local abandoned = redis.call('GET', BASE .. ':abandoned:' .. id)
if abandoned and tonumber(attempt) <= tonumber(abandoned) then
  return { exact(now), 'abandoned' }
end

expire(now)
drop(id)
local take = reader(7)
local budgets = {}
for place = 1, tonumber(take()) do
  budgets[place] = read_budget(take, now)
  read_balance(budgets[place])
end
local options = read_options(take)
local option, reason, in_the_way = choose(options, budgets)
local answer = { exact(now) }
if option then
  hold(id, attempt, options[option], budgets, now + lease_ms / 1000)
  answer[2], answer[3] = 'granted', option - 1
else
  answer[2], answer[3] = reason, in_the_way - 1
end
for _, budget in ipairs(budgets) do
  tell(answer, budget)
end
return answer
