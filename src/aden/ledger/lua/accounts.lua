-- A page of all balances. ARGV: time, cursor, how many.
-- Answer: time, the next cursor (0 at the end), fields and figures, budgets and their marks.

local now = clock()
expire(now)
save()
local page = redis.call('HSCAN', BALANCES, ARGV[2], 'COUNT', ARGV[3])
local marks = ARGV[2] == '0' and redis.call('HGETALL', ACCOUNTS) or {}
return { exact(now), page[1], page[2], marks }
