-- An alert was raised: nobody may claim it again; of a rolling window, for its own length.
-- ARGV: time, budget, the window that it is raised in, threshold, id, seconds or ''.

local now = clock()
local budget = ARGV[2]
local epoch = marks_of(budget).epoch
local again = epoch > 0 and ':' .. epoch or ''
local field = #budget .. ':' .. budget .. ':' .. ARGV[4] .. ':' .. ARGV[3] .. again
local found = redis.call('HGET', BASE .. ':alerts', field)
local number, name = string.match(found or '', '^%S+ 0 (%x+) (.*)$')
if name == ARGV[5] then
  local until_ = ARGV[6] == '' and '-' or exact(now + tonumber(ARGV[6]))
  redis.call('HSET', BASE .. ':alerts', field, table.concat({ until_, '1', number, name }, ' '))
end
return 1
