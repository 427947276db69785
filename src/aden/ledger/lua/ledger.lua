-- What every verb of the Redis ledger begins with: this file is put in front of each of the others.
--
-- KEYS[1] is the ledger's base, such as {aden:main}. All other keys are derived from it, so all lie
-- in its hash slot:
--   base                  hash: schema (the oldest whose programs may use it), version (its own)
--   base:born             when it was made
--   base:balances         hash: <length of budget>:<budget>:<window> to 'settled unconfirmed held'
--   base:op:<id>          an operation, packed (see `read`)
--   base:leases           sorted set: open operations by the second at which their lease ends
--   base:kept             sorted set: settled and unconfirmed ones by when they are forgotten; one
--                         that is only there is settled
--   base:abandoned:<id>   attempts of this operation up to this one count no more
--   base:unconfirmed      sorted set: unconfirmed operations by when they were booked
--   base:ages             sorted set: 'b' and a balance's field, 'a' and an alert's, by when it is
--                         to be forgotten
--   base:outputs          hash: <bucket>:<model> to how often it was seen
--   base:accounts         hash: budget to 'raised frozen epoch', where an operator ordered something
--   base:descriptions     hash: budget's id to what a program said of it
--   base:alerts           hash: <length of budget>:<budget>:<threshold>:<window> to 'until raised
--                         claim id'; one number alone is schema 1's: raised
--   base:journal          stream: finished calls
--   base:audit            stream: what operators ordered
--   base:order:<id>       the answer to an order, for ten minutes
--
-- Amounts are integers below 2**53, which doubles hold exactly. Times are unix seconds. ARGV[1] is
-- the time in tests, else empty: then the server's counts.

local BASE = KEYS[1]
local BALANCES = BASE .. ':balances'
local LEASES = BASE .. ':leases'
local KEPT = BASE .. ':kept'
local UNCONFIRMED = BASE .. ':unconfirmed'
local AGES = BASE .. ':ages'
local ACCOUNTS = BASE .. ':accounts'
local DESCRIPTIONS = BASE .. ':descriptions'
local DAY_S = 86400
local RETAIN_S, UNCONFIRMED_S, KEEP_S = DAY_S, 35 * DAY_S, 66 * DAY_S -- as in rules
local SLICES = 30 -- as in core.window
local EXPIRE_OPEN = 1000 -- holds of dead processes that one call books
local EXPIRE_KEPT = 200 -- forgotten operations that one call deletes

local function exact(seconds)
  return string.format('%.17g', seconds)
end

local clock_read

local function clock()
  if not clock_read and ARGV[1] ~= '' then
    clock_read = tonumber(ARGV[1])
  elseif not clock_read then
    local now = redis.call('TIME')
    clock_read = tonumber(now[1]) + tonumber(now[2]) / 1000000
  end
  return clock_read
end

-- From when on what is booked in a window now is kept no more (rules.forget_at); nil: never.
local function forget_at(window, now, unconfirmed)
  if window == 'total' then
    return nil
  end
  local seconds, start = string.match(window, '^rolling:(%d+):(%d+)$')
  if seconds and not unconfirmed then
    return tonumber(start) + math.ceil(tonumber(seconds) / SLICES) + 2 * tonumber(seconds)
  end
  return (math.floor((now + KEEP_S) / DAY_S) + 1) * DAY_S
end

-- Balances: each is read once, and those that changed are written together by `save`.

local balances, changed, ages = {}, {}, {}

local function field_of(budget, window)
  return #budget .. ':' .. budget .. ':' .. window
end

local function load_some(fields, first, last)
  local found = redis.call('HMGET', BALANCES, unpack(fields, first, last))
  for i = 1, last - first + 1 do
    local field = fields[first + i - 1]
    if found[i] then
      local settled, unconfirmed, held = string.match(found[i], '(%S+) (%S+) (%S+)')
      balances[field] = {
        settled = tonumber(settled),
        unconfirmed = tonumber(unconfirmed),
        held = tonumber(held),
      }
    else
      balances[field] = { settled = 0, unconfirmed = 0, held = 0 }
    end
  end
end

local function load(fields)
  for first = 1, #fields, 1000 do
    load_some(fields, first, math.min(first + 999, #fields))
  end
end

local function add(budget, window, column, amount)
  if amount == 0 then
    return
  end
  local field = field_of(budget, window)
  if not balances[field] then
    load({ field })
  end
  balances[field][column] = balances[field][column] + amount
  changed[field] = true
  local until_ = forget_at(window, clock(), column == 'unconfirmed' and amount > 0)
  ages[field] = until_ and math.max(until_, ages[field] or 0)
end

local function figures(balance)
  return string.format('%.0f %.0f %.0f', balance.settled, balance.unconfirmed, balance.held)
end

local function save()
  local pairs_to_set = {}
  for field in pairs(changed) do
    pairs_to_set[#pairs_to_set + 1] = field
    pairs_to_set[#pairs_to_set + 1] = figures(balances[field])
    if #pairs_to_set == 1000 then
      redis.call('HSET', BALANCES, unpack(pairs_to_set))
      pairs_to_set = {}
    end
  end
  if #pairs_to_set > 0 then
    redis.call('HSET', BALANCES, unpack(pairs_to_set))
  end
  for field, until_ in pairs(ages) do
    redis.call('ZADD', AGES, 'GT', string.format('%.0f', until_), 'b' .. field)
  end
end

-- Operations: state is 'open' or 'unconfirmed'; sent is a boolean; attempt is the number of the
-- reserve; holds is a list of budget, window, amount, at risk, budget, window …

local function operation_key(id)
  return BASE .. ':op:' .. id
end

local function read(id)
  local packed = redis.call('GET', operation_key(id))
  return packed and cmsgpack.unpack(packed) or nil
end

local function write(id, operation)
  redis.call('SET', operation_key(id), cmsgpack.pack(operation))
end

local function forget(id)
  redis.call('DEL', operation_key(id))
  redis.call('ZREM', LEASES, id)
  redis.call('ZREM', KEPT, id)
  redis.call('ZREM', UNCONFIRMED, id)
end

-- Take back what an operation holds, or what was booked for it as unconfirmed, and forget it.
local function drop(id)
  local operation = read(id)
  if not operation then
    -- Only where it is needed: after its first write a script is no more refused on a full server.
    if redis.call('ZSCORE', KEPT, id) then
      redis.call('ZREM', KEPT, id)
    end
    return
  end
  local holds = operation.holds
  for i = 1, #holds, 4 do
    if operation.state == 'open' then
      add(holds[i], holds[i + 1], 'held', -holds[i + 2])
    elseif operation.state == 'unconfirmed' then
      add(holds[i], holds[i + 1], 'unconfirmed', -holds[i + 3])
    end
  end
  forget(id)
end

local function keep(id, until_)
  redis.call('ZADD', KEPT, exact(until_), id)
end

-- Book holds whose lease ran out: their progress as unconfirmed, nothing if unsent.
local function expire(now)
  local before = '(' .. exact(now)
  local late = redis.call('ZRANGEBYSCORE', LEASES, '-inf', before, 'LIMIT', 0, EXPIRE_OPEN)
  for _, id in ipairs(late) do
    local operation = read(id)
    if operation and operation.sent then
      local holds = operation.holds
      for i = 1, #holds, 4 do
        add(holds[i], holds[i + 1], 'held', -holds[i + 2])
        add(holds[i], holds[i + 1], 'unconfirmed', holds[i + 3])
      end
      operation.state = 'unconfirmed'
      write(id, operation)
      keep(id, now + UNCONFIRMED_S)
      redis.call('ZADD', UNCONFIRMED, exact(now), id)
    else
      drop(id)
    end
    redis.call('ZREM', LEASES, id)
  end
  local old = redis.call('ZRANGEBYSCORE', KEPT, '-inf', before, 'LIMIT', 0, EXPIRE_KEPT)
  for _, id in ipairs(old) do
    forget(id)
  end
end

-- What an operator ordered for a budget.
local function as_marks(told)
  local raised, frozen, epoch = string.match(told or '- 0 0', '(%S+) (%S+) (%S+)')
  return { raised = tonumber(raised), frozen = frozen == '1', epoch = tonumber(epoch) }
end

local function marks_of(budget)
  return as_marks(redis.call('HGET', ACCOUNTS, budget))
end

-- Budgets that are asked about stand in ARGV from a place on: how many, then of each its name and
-- its window: those that may be the current one, in order ('id end id end …', '-' for no end; the
-- first that has not ended is it), or '~ seconds width' of one that rolls in slices (core.window).
-- Each is made a table: name, window to be booked in, fields that count, tag (which window; '~start'
-- of the slice), ends (of each field, when it stops counting; only of those that roll).

local function add_slices(budget, seconds, width, now)
  local series = 'rolling:' .. seconds .. ':'
  seconds, width = tonumber(seconds), tonumber(width)
  local function start_of(at)
    return math.floor(at / width) * width
  end
  local current = start_of(now)
  budget.window = series .. string.format('%012d', current)
  budget.current_end = current + width + seconds
  budget.tag = string.format('~%d', current)
  budget.ends = {}
  for start = start_of(now - seconds), start_of(now + seconds), width do
    budget.fields[#budget.fields + 1] = field_of(budget.name, series .. string.format('%012d', start))
    budget.ends[#budget.ends + 1] = start + width + seconds
  end
end

local function add_window(budget, windows, now)
  local index = -1
  for id, ends_at in string.gmatch(windows, '(%S+) (%S+)') do
    budget.window = id
    index = index + 1
    if ends_at == '-' or now < tonumber(ends_at) then
      break
    end
  end
  budget.tag = tostring(index)
  budget.fields[1] = field_of(budget.name, budget.window)
end

-- The sum over what counts, and what the asker is told: tag, settled, unconfirmed, held, when the
-- oldest of it stops counting ('-' but for a window that rolls), raised ('-' or limit), frozen, epoch.
local function sum_up(budget)
  local sum = { settled = 0, unconfirmed = 0, held = 0 }
  local ends_at
  for i, field in ipairs(budget.fields) do
    local part = balances[field]
    sum.settled = sum.settled + part.settled
    sum.unconfirmed = sum.unconfirmed + part.unconfirmed
    sum.held = sum.held + part.held
    if budget.ends and not ends_at and part.settled + part.unconfirmed + part.held ~= 0 then
      ends_at = budget.ends[i]
    end
  end
  budget.balance = sum
  local ends = budget.ends and string.format('%d', ends_at or budget.current_end) or '-'
  local raised = budget.marks.raised and string.format('%.0f', budget.marks.raised) or '-'
  local frozen = budget.marks.frozen and '1' or '0'
  local epoch = tostring(budget.marks.epoch)
  budget.told = table.concat({ budget.tag, figures(sum), ends, raised, frozen, epoch }, ' ')
end

-- Read those budgets; returns them and the place behind them.
local function read_budgets(place, now)
  local count = tonumber(ARGV[place])
  local budgets, unread, names = {}, {}, {}
  for i = 1, count do
    names[i] = ARGV[place + 2 * i - 1]
    local budget = { name = names[i], fields = {} }
    local windows = ARGV[place + 2 * i]
    local seconds, width = string.match(windows, '^~ (%d+) (%d+)$')
    if seconds then
      add_slices(budget, seconds, width, now)
    else
      add_window(budget, windows, now)
    end
    for _, field in ipairs(budget.fields) do
      if not balances[field] then
        unread[#unread + 1] = field
      end
    end
    budgets[i] = budget
  end
  load(unread)
  local marks = count > 0 and redis.call('HMGET', ACCOUNTS, unpack(names)) or {}
  for i, budget in ipairs(budgets) do
    budget.marks = as_marks(marks[i])
    sum_up(budget)
  end
  return budgets, place + 1 + 2 * count
end
