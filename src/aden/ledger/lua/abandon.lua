-- Take back what an attempt to reserve holds, also if it has yet to arrive.
-- ARGV: time, operation, attempt.

local operation = read(ARGV[2])
if operation and operation.state == 'open' and operation.attempt == ARGV[3] then
  drop(ARGV[2])
  save()
end
redis.call('SET', BASE .. ':abandoned:' .. ARGV[2], ARGV[3], 'EX', 3600)
return 1
