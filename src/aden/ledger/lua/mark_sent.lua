-- Note whether the request has left.
-- ARGV: time, operation, '1' or '0'.

if redis.call('EXISTS', operation_key(ARGV[2])) == 1 then
  redis.call('HSET', operation_key(ARGV[2]), 'sent', ARGV[3])
end
return 1
