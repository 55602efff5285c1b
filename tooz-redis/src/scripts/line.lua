-- The entries of a roster. A record in its hash is "seq mode limit session key-length " followed by the bytes of the
-- unique key and of the value. An entry that stands alone may be in the hash only, and its session's set then has the
-- roster's key without a nonce; as soon as there are two, every one is in the sorted set of its mode too, and with its nonce
-- in its session's set: see `index_lone`.

local conflicts = { x = { 'x', 's' }, s = { 'x' }, m = {} }

-- Milliseconds that a session has left, or nil if it is over.
local function life(session)
  local left = redis.call('PTTL', session_key(session))
  if left ~= -2 then return left end
end

-- The entry that a record tells of.
local function read(nonce, record)
  local seq, mode, limit, session, length, rest = string.match(record, '^(%d+) (%l) (%d+) (%x+) (%S+) ()')
  local entry = { nonce = nonce, seq = seq, mode = mode, limit = tonumber(limit), session = session }
  entry.member = nonce .. ' ' .. session
  entry.body = rest + (tonumber(length) or 0)
  if length ~= '-' then entry.key = string.sub(record, rest, entry.body - 1) end
  entry.record = record
  return entry
end

-- The entry of a nonce, or nil.
local function find(nonce)
  local record = redis.call('HGET', roster, nonce)
  return record and read(nonce, record)
end

-- The only entry of the roster.
local function lone() return read(unpack(redis.call('HGETALL', roster))) end

local function tell(entry, news)
  redis.call('PUBLISH', session_key(entry.session), news .. ' ' .. entry.nonce)
end

-- Indexes the entry that stood alone until now.
local function index_lone()
  local entry = lone()
  if redis.call('ZADD', roster .. ':' .. entry.mode, entry.seq, entry.member) == 1 then
    redis.call('SADD', session_key(entry.session) .. ':entries', roster .. ' ' .. entry.nonce)
  end
end

-- Turns to the roster of a line of a session's set, and returns the nonce of what the session has there, or nil.
local function turn_to(line, session)
  local nonce
  roster, nonce = string.match(line, '^(%S+) ?(%x*)$')
  if nonce ~= '' then return nonce end
  if redis.call('HLEN', roster) ~= 1 then return nil end
  local entry = lone()
  return entry.session == session and entry.nonce or nil
end

-- Takes an entry out of the roster. Uses no command that a full server refuses.
local function remove(entry)
  redis.call('HDEL', roster, entry.nonce)
  redis.call('ZREM', roster .. ':' .. entry.mode, entry.member)
  redis.call('SREM', session_key(entry.session) .. ':entries', roster .. ' ' .. entry.nonce)
  if redis.call('ZREM', roster .. ':waiting', entry.member) == 1 then
    redis.call('ZREM', roster .. ':limits', entry.member)
  end
  if entry.key then redis.call('HDEL', roster .. ':keys', entry.key) end
end

-- How many entries that conflict with `mode` stand before `bound`, dead ones too.
local function standing(mode, bound)
  local count = 0
  for _, other in ipairs(conflicts[mode]) do
    count = count + redis.call('ZCOUNT', roster .. ':' .. other, '-inf', bound)
  end
  return count
end

-- At most `count` entries that conflict with `mode` and stand before `bound`, nearest first.
local function before(mode, bound, count)
  local rows = {}
  for _, other in ipairs(conflicts[mode]) do
    local found = redis.call('ZREVRANGEBYSCORE', roster .. ':' .. other, bound, '-inf', 'WITHSCORES', 'LIMIT', 0, count)
    for i = 1, #found, 2 do rows[#rows + 1] = { mode = other, member = found[i], seq = found[i + 1] } end
  end
  table.sort(rows, function(a, b) return tonumber(a.seq) > tonumber(b.seq) end)
  return rows
end

-- What blocks an entry of `mode` and `limit` before `bound`: the seq of the nearest blocker and the least remaining
-- life, in milliseconds, of a session among those that block; nil if it is admitted. The third result says whether dead
-- entries were removed on the way: then `admit` must follow.
local function blocker(mode, limit, bound)
  local swept = false
  while standing(mode, bound) >= limit do
    local rows, least, dead = before(mode, bound, limit), nil, false
    for i = 1, limit do
      local nonce, session = string.match(rows[i].member, '^(%x+) (%x+)$')
      local left = life(session)
      if not left then
        remove(find(nonce) or { nonce = nonce, session = session, member = rows[i].member, mode = rows[i].mode })
        dead, swept = true, true
      elseif not least or left < least then
        least = left
      end
    end
    if not dead then return rows[1].seq, least, swept end
  end
  return nil, nil, swept
end

-- Marks as admitted, and tells, those waiting entries that have become so. Stops where no later one can be.
local function admit()
  local top = redis.call('ZREVRANGE', roster .. ':limits', 0, 0, 'WITHSCORES')
  if #top == 0 then return end
  local greatest, skipped = tonumber(top[2]), 0
  while true do
    local row = redis.call('ZRANGE', roster .. ':waiting', skipped, skipped, 'WITHSCORES')
    if #row == 0 then return end
    local bound = '(' .. row[2]
    local exclusive = redis.call('ZCOUNT', roster .. ':x', '-inf', bound)
    if exclusive >= greatest then return end
    local nonce, session = string.match(row[1], '^(%x+) (%x+)$')
    local entry = find(nonce)
    if not entry then
      -- Somebody took it away by hand.
      for _, set in ipairs({ ':x', ':s', ':waiting', ':limits' }) do redis.call('ZREM', roster .. set, row[1]) end
    elseif not life(session) then
      remove(entry)
    else
      local conflicting = exclusive
      if entry.mode == 'x' then conflicting = exclusive + redis.call('ZCOUNT', roster .. ':s', '-inf', bound) end
      if conflicting < entry.limit then
        redis.call('ZREM', roster .. ':waiting', row[1])
        redis.call('ZREM', roster .. ':limits', row[1])
        tell(entry, 'turn')
      else
        skipped = skipped + 1
      end
      -- It stands before all that follow.
      if entry.mode == 'x' and exclusive + 1 >= greatest then return end
    end
  end
end
