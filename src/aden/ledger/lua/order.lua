-- What every operator's order begins with: this file stands between ledger.lua and the order's own.
-- ARGV: time, the order's id, who, why, then the order's own from ARGV[5] on.

local ORDER = BASE .. ':order:' .. ARGV[2]
local AUDIT_ENTRIES = 10000

local answered = redis.call('GET', ORDER)
if answered then -- an order that arrives twice gets the first answer
  return tonumber(answered)
end
expire(clock())

local function answer(value)
  redis.call('SET', ORDER, value, 'EX', 600)
  return value
end

-- Note a change; what is not said is ''.
local function note(now, verb, budget, window, operation, before, after)
  local function told(amount)
    return amount and string.format('%.0f', amount) or ''
  end
  redis.call('XADD', BASE .. ':audit', 'MAXLEN', AUDIT_ENTRIES, '*', 'at', exact(now), 'verb', verb,
    'who', ARGV[3], 'why', ARGV[4], 'budget', budget, 'window', window, 'operation', operation,
    'before', told(before), 'after', told(after))
end

local function set_marks(budget, marks)
  local raised = marks.raised and string.format('%.0f', marks.raised) or '-'
  local told = table.concat({ raised, marks.frozen and '1' or '0', marks.epoch }, ' ')
  redis.call('HSET', ACCOUNTS, budget, told)
end
