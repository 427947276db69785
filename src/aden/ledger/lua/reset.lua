-- Begin a window anew. ARGV[5]: budget, window.

local now = clock()
local name, window = ARGV[5], ARGV[6]
local budget = { name = name, fields = {} }
-- As a whole, or by one of its slices.
local seconds = string.match(window, '^rolling:(%d+)$') or string.match(window, '^rolling:(%d+):%d+$')
if seconds then
  add_slices(budget, seconds, math.ceil(tonumber(seconds) / SLICES), now)
else
  budget.fields[1] = field_of(name, window)
end
local unread, is_reset, spent = {}, {}, 0
for _, field in ipairs(budget.fields) do
  is_reset[field] = true
  if not balances[field] then
    unread[#unread + 1] = field
  end
end
load(unread)
for _, field in ipairs(budget.fields) do
  local balance = balances[field]
  if balance.settled + balance.unconfirmed ~= 0 then
    spent = spent + balance.settled + balance.unconfirmed
    balance.settled, balance.unconfirmed = 0, 0
    changed[field] = true
  end
end
save()
-- A late settlement must not take back what the reset took already.
for _, id in ipairs(redis.call('ZRANGE', UNCONFIRMED, 0, -1)) do
  local operation = read(id)
  if operation then
    local holds, is_changed = operation.holds, false
    for i = 1, #holds, 4 do
      if is_reset[field_of(holds[i], holds[i + 1])] then
        holds[i + 3], is_changed = 0, true
      end
    end
    if is_changed then
      write(id, operation)
    end
  end
end
local marks = marks_of(name)
marks.epoch = marks.epoch + 1
set_marks(name, marks)
note(now, 'reset', name, window, '', spent, 0)
return answer(1)
