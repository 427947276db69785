-- What programs said of their budgets. ARGV: time. Answer: ids and texts.

return redis.call('HGETALL', DESCRIPTIONS)
