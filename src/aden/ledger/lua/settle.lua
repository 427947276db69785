-- Replace an operation's hold by its charges; the first word stays.
-- ARGV: time, operation, '' or <bucket>:<model> of its output, journal's line or '', how many lines
-- the journal keeps, then budget, window, amount of each charge.

local now = clock()
local id = ARGV[2]
if not read(id) and redis.call('ZSCORE', KEPT, id) then
  return 0
end
drop(id)
for i = 6, #ARGV, 3 do
  add(ARGV[i], ARGV[i + 1], 'settled', tonumber(ARGV[i + 2]))
end
save()
keep(id, now)
if ARGV[3] ~= '' then
  redis.call('HINCRBY', BASE .. ':outputs', ARGV[3], 1)
end
if ARGV[4] ~= '' then
  redis.call('XADD', BASE .. ':journal', 'MAXLEN', ARGV[5], '*', 'record', ARGV[4])
end
return 1
