-- Adds an entry at the end of a roster, and says what blocks it. An entry that must not wait is not added if something does.
--
-- Every key is read before the first one is written, so a key of a wrong type fails the request before it has changed
-- anything but the sequence.
--
-- ARGV: the session's key, nonce, mode, limit, the record without its seq, and as far as they apply: 'withdraw' if the entry
--       must not wait, 'declared' if the roster must be, 'refuse' or 'take-over' and the unique key. '' stands for none.

local roster = KEYS[1]
local own, nonce, mode, limit, record, if_blocked, must_be_declared, if_taken, key = unpack(ARGV)
local set, waiting, limits, keys = roster .. suffixes[mode], roster .. ':waiting', roster .. ':limits', roster .. ':keys'
local is_unique, field = key and if_taken ~= '', nonce .. ' ' .. roster

local function reply(seq, blocked_by)
  if blocked_by then return table.concat({ 'WAITING', seq, blocked_by }, ' ') end
  return 'ADMITTED ' .. seq
end

-- One call answers two questions: the session's key, five times, counts more than all the others together.
local tombstone = own .. ':withdrawn:' .. nonce
local found = redis.call('EXISTS', own, own, own, own, own, tombstone, roster, roster .. ':shared', roster .. ':members')
if found < 5 then return 'LOST' end

local rival, blocked_by
if found > 5 then
  if redis.call('EXISTS', tombstone) == 1 then return 'TOMBSTONE' end
  local more = reap()
  if more then return more end
  local place = redis.call('HGET', own .. ':entries', field)
  local repeated = place and find_at(roster, place)
  if repeated then
    -- Written again so that a WAIT that follows on this connection covers the entry.
    redis.pcall('HSET', own .. ':entries', field, place)
    return reply(repeated.seq, blocker(roster, mode, repeated.limit, '(' .. repeated.seq))
  end
end
if must_be_declared == 'declared' and is_declared(roster) == 0 then return 'UNDECLARED' end
if found > 5 then
  local taken = is_unique and redis.call('HGET', keys, key)
  rival = taken and find_at(roster, taken)
  if rival and if_taken == 'refuse' then return 'TAKEN' end
  blocked_by = blocker(roster, mode, tonumber(limit), '+inf')
  if blocked_by and not rival and if_blocked == 'withdraw' then return 'WITHDRAWN ' .. blocked_by end
  redis.call('ZCARD', set)
  redis.call('ZCARD', waiting)
  redis.call('ZCARD', limits)
end

local seq = next_number()
if rival then
  remove(rival, has_waiting(roster))
  notify(rival, 'removed')
  blocked_by = blocker(roster, mode, tonumber(limit), '+inf')
  if blocked_by and if_blocked == 'withdraw' then return 'WITHDRAWN ' .. blocked_by end
end
local place = seq .. ' ' .. mode
redis.call('HSET', own .. ':entries', field, place)
if is_unique then redis.call('HSET', keys, key, place) end
if blocked_by then
  redis.call('ZADD', waiting, seq, place)
  redis.call('ZADD', limits, limit, place)
end
redis.call('ZADD', set, seq, seq .. ' ' .. record)
publish_change(roster)
return reply(seq, blocked_by)
