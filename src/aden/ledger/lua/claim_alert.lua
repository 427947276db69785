-- True for the one who may raise this alert; the same claim twice gets the same answer.
-- ARGV: time, alert, claim.

redis.call('HSETNX', BASE .. ':alerts', ARGV[2], ARGV[3])
return redis.call('HGET', BASE .. ':alerts', ARGV[2]) == ARGV[3] and 1 or 0
