-- What every verb of the Redis ledger begins with: this file is put in front of each of the others.
--
-- KEYS[1] is the ledger's base, such as {aden:main}. All other keys are derived from it, so all lie
-- in its hash slot:
--   base                  hash: schema
--   base:balances         hash: <length of budget>:<budget>:<window> to 'settled unconfirmed held'
--   base:op:<id>          an operation, packed (see `read`)
--   base:leases           sorted set: open operations by the second at which their lease ends
--   base:kept             sorted set: settled and unconfirmed ones by when they are forgotten; one
--                         that is only there is settled
--   base:abandoned:<id>   attempts of this operation up to this one count no more
--   base:outputs          hash: <bucket>:<model> to how often it was seen
--   base:alerts           hash: alert to the claim that won it
--   base:journal          stream: finished calls
--
-- Amounts are integers below 2**53, which doubles hold exactly. Times are unix seconds. ARGV[1] is
-- the time in tests, else empty: then the server's counts.

local BASE = KEYS[1]
local BALANCES = BASE .. ':balances'
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

-- Balances: each is read once, and those that changed are written together by `save`.

local balances, changed = {}, {}

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

local function keep(id, now)
  redis.call('ZADD', KEPT, exact(now + RETAIN_S), id)
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
      keep(id, now)
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

-- The sum over what counts, and what the asker is told: tag, settled, unconfirmed, held, and of a
-- window that rolls when the oldest of it stops counting.
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
  budget.told = budget.tag .. ' ' .. figures(sum)
  if budget.ends then
    budget.told = budget.told .. string.format(' %d', ends_at or budget.current_end)
  end
end

-- Read those budgets; returns them and the place behind them.
local function read_budgets(place, now)
  local count = tonumber(ARGV[place])
  local budgets, unread = {}, {}
  for i = 1, count do
    local budget = { name = ARGV[place + 2 * i - 1], fields = {} }
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
  for _, budget in ipairs(budgets) do
    sum_up(budget)
  end
  return budgets, place + 1 + 2 * count
end
