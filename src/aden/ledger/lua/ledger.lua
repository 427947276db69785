-- What every verb of the Redis ledger begins with: this file is put in front of each of the others.
--
-- KEYS[1] is the ledger's base, such as {aden:main}. All other keys are derived from it, so all lie
-- in its hash slot:
--   base                        hash: schema
--   base:balance:<n>:<b>:<w>    hash: settled, unconfirmed, held (n is the length of budget b)
--   base:op:<id>                hash: state, sent, attempt, holds, and b w a r of each hold
--                               (budget, window, amount, at risk), numbered from 1
--   base:leases                 sorted set: open operations by the second at which their lease ends
--   base:kept                   sorted set: settled and unconfirmed ones by when they are forgotten
--   base:abandoned:<id>         attempts of this operation up to this one count no more
--   base:outputs                hash: <bucket>:<model> to how often it was seen
--   base:alerts                 hash: claimed alerts
--   base:journal                stream: finished calls
--
-- Amounts are integers below 2**53, which doubles hold exactly. Times are unix seconds; ARGV[1] is
-- the time in tests and '' otherwise: then it is the server's.

local BASE = KEYS[1]
local LEASES = BASE .. ':leases'
local KEPT = BASE .. ':kept'
local RETAIN_S = 86400
local EXPIRE_OPEN = 1000 -- holds of dead processes that one call books
local EXPIRE_KEPT = 200 -- forgotten operations that one call deletes

local function exact(seconds)
  return string.format('%.17g', seconds)
end

local function clock()
  if ARGV[1] ~= '' then
    return tonumber(ARGV[1])
  end
  local now = redis.call('TIME')
  return tonumber(now[1]) + tonumber(now[2]) / 1000000
end

local function operation_key(id)
  return BASE .. ':op:' .. id
end

local function balance_key(budget, window)
  return BASE .. ':balance:' .. #budget .. ':' .. budget .. ':' .. window
end

local function add(budget, window, column, amount)
  if amount ~= 0 then
    local key = balance_key(budget, window)
    redis.call('HINCRBY', key, column, string.format('%.0f', amount))
  end
end

-- The operation as a table, nil where there is none.
local function read(id)
  local flat = redis.call('HGETALL', operation_key(id))
  if #flat == 0 then
    return nil
  end
  local operation = {}
  for i = 1, #flat, 2 do
    operation[flat[i]] = flat[i + 1]
  end
  operation.count = tonumber(operation.holds or 0)
  return operation
end

local function forget(id)
  redis.call('DEL', operation_key(id))
  redis.call('ZREM', LEASES, id)
  redis.call('ZREM', KEPT, id)
end

-- Take back what an operation holds, or what was booked for it as unconfirmed, and forget it.
local function drop(id)
  local operation = read(id)
  if not operation then
    return
  end
  for i = 1, operation.count do
    local budget, window = operation['b' .. i], operation['w' .. i]
    if operation.state == 'open' then
      add(budget, window, 'held', -tonumber(operation['a' .. i]))
    elseif operation.state == 'unconfirmed' then
      add(budget, window, 'unconfirmed', -tonumber(operation['r' .. i]))
    end
  end
  forget(id)
end

local function keep(id, now)
  redis.call('ZREM', LEASES, id)
  redis.call('ZADD', KEPT, exact(now + RETAIN_S), id)
end

-- Book holds whose lease ran out: their progress as unconfirmed, nothing if unsent.
local function expire(now)
  local before = '(' .. exact(now)
  local late = redis.call('ZRANGEBYSCORE', LEASES, '-inf', before, 'LIMIT', 0, EXPIRE_OPEN)
  for _, id in ipairs(late) do
    local operation = read(id)
    if operation and operation.sent == '1' then
      for i = 1, operation.count do
        local budget, window = operation['b' .. i], operation['w' .. i]
        add(budget, window, 'held', -tonumber(operation['a' .. i]))
        add(budget, window, 'unconfirmed', tonumber(operation['r' .. i]))
      end
      redis.call('HSET', operation_key(id), 'state', 'unconfirmed')
      keep(id, now)
    else
      drop(id)
      redis.call('ZREM', LEASES, id)
    end
  end
  local old = redis.call('ZRANGEBYSCORE', KEPT, '-inf', before, 'LIMIT', 0, EXPIRE_KEPT)
  for _, id in ipairs(old) do
    forget(id)
  end
end

-- Reads ARGV from a place on.
local function reader(place)
  return function()
    place = place + 1
    return ARGV[place - 1]
  end
end

-- Read one budget: its name and the windows that may be the current one, in order. Its current
-- window is the first that has not ended.
local function read_budget(take, now)
  local budget = { name = take() }
  local count = tonumber(take())
  for i = 1, count do
    local id, ends_at = take(), take()
    if not budget.window and (i == count or ends_at == '' or now < tonumber(ends_at)) then
      budget.window, budget.place = id, i
    end
  end
  return budget
end

-- Read what the budget's current window holds.
local function read_balance(budget)
  local key = balance_key(budget.name, budget.window)
  local found = redis.call('HMGET', key, 'settled', 'unconfirmed', 'held')
  budget.figures = { found[1] or '0', found[2] or '0', found[3] or '0' }
  budget.spent = tonumber(budget.figures[1]) + tonumber(budget.figures[2])
  budget.held = tonumber(budget.figures[3])
end

-- Append a budget's window and figures to an answer.
local function tell(answer, budget)
  answer[#answer + 1] = budget.place - 1
  for _, figure in ipairs(budget.figures) do
    answer[#answer + 1] = figure
  end
end
