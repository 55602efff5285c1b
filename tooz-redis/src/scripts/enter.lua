-- The second part of `enter`, after enter_alone.lua: others stand in the roster, or something else is to be heeded.

local mine = find(nonce)
if mine then
  local blocked_by, _, swept = blocker(mine.mode, mine.limit, '(' .. mine.seq)
  if swept then
    admit()
    changed()
  end
  -- Written again so that a WAIT that follows on this connection covers the entry.
  redis.pcall('HSET', roster, nonce, mine.record)
  if blocked_by then return table.concat({ 'WAITING', mine.seq, blocked_by }, ' ') end
  return 'ADMITTED ' .. mine.seq
end
if (must_be_declared or '') ~= ''
  and redis.call('SISMEMBER', space .. 'declared:' .. must_be_declared, name()) == 0 then
  return 'UNDECLARED'
end
if crowd == 1 then index_lone() end

local mode, limit, session, length, rest = string.match(record, '^(%l) (%d+) (%x+) (%S+) ()')
local swept, rival, key = false, nil, nil
if if_taken then
  key = string.sub(record, rest, rest + length - 1)
  local taken = redis.call('HGET', roster .. ':keys', key)
  rival = taken and find(taken)
  if rival and not life(rival.session) then
    remove(rival)
    rival, swept = nil, true
  end
  if rival and if_taken == 'refuse' then return 'TAKEN' end
end

-- Drawn before anything is taken away for this entry: a number is what a full server refuses first.
local seq = rival and next_number()
if rival then
  remove(rival)
  tell(rival, 'lost')
  swept = true
end

local blocked_by, _, also = blocker(mode, tonumber(limit), '+inf')
if swept or also then admit() end
if blocked_by and if_blocked == 'withdraw' then
  if swept or also then changed() end
  return 'WITHDRAWN ' .. blocked_by
end

seq = seq or next_number()
redis.call('HSET', roster, nonce, seq .. ' ' .. record)
redis.call('SADD', own .. ':entries', roster .. ' ' .. nonce)
changed()
if key then redis.call('HSET', roster .. ':keys', key, nonce) end
local member = nonce .. ' ' .. session
redis.call('ZADD', roster .. ':' .. mode, seq, member)
if not blocked_by then return 'ADMITTED ' .. seq end
redis.call('ZADD', roster .. ':waiting', seq, member)
redis.call('ZADD', roster .. ':limits', limit, member)
return table.concat({ 'WAITING', seq, blocked_by }, ' ')
