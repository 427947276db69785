-- What a program says of its budgets. ARGV: time, then an id and a text each.

if #ARGV > 1 then
  redis.call('HSET', DESCRIPTIONS, unpack(ARGV, 2))
end
return 1
