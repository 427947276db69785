-- Hold the first option that fits, all its lines or none.
-- ARGV: time, operation, attempt, lease in ms, the times for which the windows are right (from,
-- until), the budgets, then the options: how many lines, and of each line 'budget limit amount
-- at-risk below enforce soft' (the budget's number, '-' for no step).
-- Answer: time; 'granted', option | reason, budget | 'clock' | 'abandoned'; of each budget which of
-- its windows, settled, unconfirmed and held, as they were without this operation.

local MAX_COUNT = 9007199254740991 -- as in core.limit

-- The one rule (rules.choose). Differences, not sums: they stay exact where a limit is 2**53.
local function fits(line, budget, held)
  local balance, limit, below = budget.balance, line.limit, line.below
  local raised = budget.marks.raised
  if raised and raised > limit then
    -- The same share of the raised limit; beyond 2**53 it may be off by one of the smallest unit.
    below = below and limit > 0 and math.ceil(below * raised / limit)
    limit = raised
  end
  local on_step = not below or balance.settled + balance.unconfirmed < below
  if line.soft then
    limit = MAX_COUNT
  end
  return on_step and line.amount <= limit - balance.settled - balance.unconfirmed - held
end

-- nil where the option fits, else the reason and the budget in the way.
local function obstacle(lines, budgets)
  local frozen, blocking, hard
  for _, line in ipairs(lines) do
    if line.amount > 0 and line.enforce then
      local budget = budgets[line.budget]
      if budget.marks.frozen then
        frozen = frozen or line
      elseif not fits(line, budget, budget.balance.held) then
        blocking = blocking or line
        hard = hard or (not fits(line, budget, 0) and line or nil)
      end
    end
  end
  if frozen then
    return 'policy', frozen.budget
  elseif hard then
    return 'exhausted', hard.budget
  elseif blocking then
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
    if refusal ~= 'busy' then
      refusal, in_the_way = reason, budget
    end
  end
  return nil, refusal, in_the_way
end

local function read_options(place)
  local options = {}
  while place <= #ARGV do
    local lines = {}
    for i = 1, tonumber(ARGV[place]) do
      local budget, limit, amount, at_risk, below, enforce, soft =
        string.match(ARGV[place + i], '(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+)')
      lines[i] = {
        budget = tonumber(budget),
        limit = tonumber(limit),
        amount = tonumber(amount),
        at_risk = tonumber(at_risk),
        below = tonumber(below),
        enforce = enforce == '1',
        soft = soft == '1',
      }
    end
    options[#options + 1] = lines
    place = place + 1 + #lines
  end
  return options
end

local function hold(id, attempt, lines, budgets, lease_until)
  local holds = {}
  for _, line in ipairs(lines) do
    local budget = budgets[line.budget]
    for _, value in ipairs({ budget.name, budget.window, line.amount, line.at_risk }) do
      holds[#holds + 1] = value
    end
    add(budget.name, budget.window, 'held', line.amount)
  end
  write(id, { state = 'open', sent = true, attempt = attempt, holds = holds })
  redis.call('ZADD', LEASES, exact(lease_until), id)
end

local now = clock()
local id, attempt, lease_ms = ARGV[2], ARGV[3], tonumber(ARGV[4])
if now < tonumber(ARGV[5]) or now >= tonumber(ARGV[6]) then
  return { exact(now), 'clock' }
end
local abandoned = redis.call('GET', BASE .. ':abandoned:' .. id)
if abandoned and tonumber(attempt) <= tonumber(abandoned) then
  return { exact(now), 'abandoned', 0 }
end

expire(now)
drop(id)
local budgets, place = read_budgets(7, now)
local options = read_options(place)
local option, reason, in_the_way = choose(options, budgets)
local answer = { exact(now) }
if option then
  hold(id, attempt, options[option], budgets, now + lease_ms / 1000)
  answer[2], answer[3] = 'granted', option - 1
else
  answer[2], answer[3] = reason, in_the_way - 1
end
save()
for _, budget in ipairs(budgets) do
  answer[#answer + 1] = budget.told
end
return answer
