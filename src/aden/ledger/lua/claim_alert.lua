-- The alert's id for the one who is to raise it, else ''. The same claim twice gets the same answer.
-- ARGV: time, budget, window, the window that it is raised in, threshold, lease in ms, claim, id,
-- how often it was armed again when this was seen.

local now = clock()
local budget, lease_ms, claim, id = ARGV[2], tonumber(ARGV[6]), ARGV[7], ARGV[8]
local epoch = marks_of(budget).epoch
if epoch ~= tonumber(ARGV[9]) then
  return ''
end
local again = epoch > 0 and ':' .. epoch or ''
local field = #budget .. ':' .. budget .. ':' .. ARGV[5] .. ':' .. ARGV[4] .. again
local found = redis.call('HGET', BASE .. ':alerts', field)
if found then
  local until_, raised, number, name = string.match(found, '^(%S+) ([01]) (%x+) (.*)$')
  if not until_ then
    return ''
  end
  if number == claim then
    return name
  end
  if until_ == '-' or now < tonumber(until_) then
    return ''
  end
  if raised == '0' then
    id = name -- who claimed it died: the same alert
  end
end
local value = table.concat({ exact(now + lease_ms / 1000), '0', claim, id }, ' ')
redis.call('HSET', BASE .. ':alerts', field, value)
local until_ = forget_at(ARGV[3], now)
if until_ then
  redis.call('ZADD', AGES, string.format('%.0f', until_), 'a' .. field)
end
return id
