-- The open and the unconfirmed operations. ARGV: time.
-- Answer: of each: id, state, '1' or '0' (sent), until, then budget, window, amount, at risk …

local now = clock()
expire(now)
save()
local found = {}
local function tell(id, ends)
  local operation = read(id)
  if operation then
    local sent = operation.sent and '1' or '0'
    local told = { id, operation.state, sent, redis.call('ZSCORE', ends, id) or '0' }
    for i, value in ipairs(operation.holds) do
      told[4 + i] = type(value) == 'number' and string.format('%.0f', value) or value
    end
    found[#found + 1] = told
  end
end
for _, id in ipairs(redis.call('ZRANGE', LEASES, 0, -1)) do
  tell(id, LEASES)
end
for _, id in ipairs(redis.call('ZRANGE', UNCONFIRMED, 0, -1)) do
  tell(id, KEPT)
end
return found
