-- How many operations hold something now. ARGV: time.

return redis.call('ZCOUNT', LEASES, exact(clock()), '+inf')
