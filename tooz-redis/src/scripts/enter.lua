-- Adds an entry, or returns the standing of the one that has its nonce.
-- ARGV: session, nonce, mode, limit, if blocked (wait | withdraw), kind if it must be declared (or ''),
--       if the key is taken (refuse | take-over | '' for no key), key, value

local session, nonce, mode, limit = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local alive = redis.call('MGET', session_key(session), space .. 'withdrawn:' .. session .. ':' .. nonce)
if not alive[1] then return { 'LOST' } end
if alive[2] then return { 'BARRED' } end

local crowded = redis.call('HLEN', roster) > 0
local mine = crowded and find(nonce)
if mine then
  local blocked_by, _, swept = blocker(mine.mode, mine.limit, '(' .. whole(mine.seq))
  if swept then
    admit()
    changed()
  end
  -- Written again so that a WAIT that follows on this connection covers the entry.
  redis.pcall('HSET', roster, nonce, mine.record)
  if blocked_by then return { 'WAITING', mine.seq, blocked_by } end
  return { 'ADMITTED', mine.seq }
end

if ARGV[6] ~= '' and redis.call('SISMEMBER', space .. 'declared:' .. ARGV[6], string.match(subject, ':(.*)$')) == 0 then
  return { 'UNDECLARED' }
end

local rival, swept = nil, false
if crowded and ARGV[7] ~= '' then
  local taken = redis.call('HGET', roster .. ':keys', ARGV[8])
  rival = taken and find(taken)
  if rival and not life(rival.session) then
    remove(rival)
    rival, swept = nil, true
  end
  if rival and ARGV[7] == 'refuse' then
    if swept then changed() end
    return { 'TAKEN' }
  end
end

-- Drawn before anything is taken away for this entry: a number is what a full server refuses first.
local seq = rival and next_number()
if rival then
  remove(rival)
  tell(rival, 'lost')
  swept = true
end

local blocked_by
if crowded then
  local nearest, _, also = blocker(mode, limit, '+inf')
  blocked_by, swept = nearest, swept or also
  if swept then admit() end
end
if blocked_by and ARGV[5] == 'withdraw' then
  if swept then changed() end
  return { 'WITHDRAWN', blocked_by }
end

seq = seq or next_number()
local length = ARGV[7] == '' and '-' or tostring(#ARGV[8])
local record = table.concat({ whole(seq), mode, ARGV[4], session, length, ARGV[8] .. ARGV[9] }, ' ')
local member = nonce .. ' ' .. session
redis.call('HSET', roster, nonce, record)
redis.call('ZADD', roster .. ':' .. mode, whole(seq), member)
redis.call('SADD', session_key(session) .. ':entries', subject .. ' ' .. nonce)
if ARGV[7] ~= '' then redis.call('HSET', roster .. ':keys', ARGV[8], nonce) end
if blocked_by then
  redis.call('ZADD', roster .. ':waiting', whole(seq), member)
  redis.call('ZADD', roster .. ':limits', limit, member)
end
changed()
if blocked_by then return { 'WAITING', seq, blocked_by } end
return { 'ADMITTED', seq }
