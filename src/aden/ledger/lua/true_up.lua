-- Raise what is spent in each window to at least the amount; never lowers.
-- ARGV: time, then budget, window, amount of each.

expire(clock())
for i = 2, #ARGV, 3 do
  local field = field_of(ARGV[i], ARGV[i + 1])
  if not balances[field] then
    load({ field })
  end
  local balance = balances[field]
  local missing = tonumber(ARGV[i + 2]) - balance.settled - balance.unconfirmed
  add(ARGV[i], ARGV[i + 1], 'settled', math.max(0, missing))
end
save()
return 1
