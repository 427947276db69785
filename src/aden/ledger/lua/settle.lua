-- Replace an operation's hold by its charges; the first word stays.
-- ARGV: time, operation, '' or <bucket>:<model> of its output, journal's line or '', how many lines
-- the journal keeps, for how many seconds, then budget, window, amount of each charge.

local JOURNAL = BASE .. ':journal'
local HALVED_AT = 64 -- as in rules
local FORGET = 50 -- of a kind, with one call: a night's worth must not hold up everybody

-- One more output of a length; a length that is seen so often halves all counts of its model.
local function learn(field)
  local outputs = BASE .. ':outputs'
  if redis.call('HINCRBY', outputs, field, 1) < HALVED_AT then
    return
  end
  local model = string.match(field, ':.*$')
  local all = redis.call('HGETALL', outputs)
  for i = 1, #all, 2 do
    if string.match(all[i], ':.*$') == model then
      local half = math.floor(tonumber(all[i + 1]) / 2)
      if half > 0 then
        redis.call('HSET', outputs, all[i], string.format('%d', half))
      else
        redis.call('HDEL', outputs, all[i])
      end
    end
  end
end

local function settle(id, now)
  drop(id)
  for i = 7, #ARGV, 3 do
    add(ARGV[i], ARGV[i + 1], 'settled', tonumber(ARGV[i + 2]))
  end
  save()
  keep(id, now + RETAIN_S)
  if ARGV[3] ~= '' then
    learn(ARGV[3])
  end
  if ARGV[4] ~= '' then
    redis.call('XADD', JOURNAL, '*', 'record', ARGV[4], 'at', exact(now))
  end
end

local function forget_old_windows_and_alerts(now)
  local old = redis.call('ZRANGEBYSCORE', AGES, '-inf', '(' .. exact(now), 'LIMIT', 0, FORGET)
  for _, member in ipairs(old) do
    local field = string.sub(member, 2)
    if string.sub(member, 1, 1) == 'a' then
      redis.call('HDEL', BASE .. ':alerts', field)
      redis.call('ZREM', AGES, member)
    else
      load({ field })
      if balances[field].held ~= 0 then -- a call that has been open all the time
        redis.call('ZADD', AGES, 'GT', string.format('%.0f', forget_at('', now)), member)
      else
        redis.call('HDEL', BALANCES, field)
        redis.call('ZREM', AGES, member)
      end
    end
  end
end

local function is_older(entry, than)
  local booked = tonumber(entry[2][4]) or tonumber(string.match(entry[1], '%d+')) / 1000
  return booked < than
end

local function forget_old_lines(now)
  local too_many = math.min(redis.call('XLEN', JOURNAL) - tonumber(ARGV[5]), FORGET)
  if too_many > 0 then
    for _, entry in ipairs(redis.call('XRANGE', JOURNAL, '-', '+', 'COUNT', too_many)) do
      redis.call('XDEL', JOURNAL, entry[1])
    end
  end
  local than = now - tonumber(ARGV[6])
  local count = 1
  while count > 0 do
    local oldest = redis.call('XRANGE', JOURNAL, '-', '+', 'COUNT', count)
    count = count == 1 and FORGET or 0
    if not oldest[1] or not is_older(oldest[1], than) then
      return
    end
    for _, entry in ipairs(oldest) do
      if is_older(entry, than) then
        redis.call('XDEL', JOURNAL, entry[1])
      end
    end
  end
end

local now = clock()
local id = ARGV[2]
if read(id) or not redis.call('ZSCORE', KEPT, id) then
  settle(id, now)
end
forget_old_windows_and_alerts(now)
if ARGV[4] ~= '' then
  forget_old_lines(now)
end
return 1
