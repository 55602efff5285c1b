-- The second part of `enter`: adds an entry at the end of a roster, and says what blocks it. An entry that must not wait is
-- not added if something does.
--
-- Every key is read before the first one is written, so a key of a wrong type fails the request before it has changed
-- anything but the sequence.

local set, waiting, limits, keys = roster .. suffixes[mode], roster .. ':waiting', roster .. ':limits', roster .. ':keys'
local is_unique = if_taken == 'refuse' or if_taken == 'take-over'

local function reply(seq, blocked_by)
  if blocked_by then return table.concat({ 'WAITING', seq, blocked_by }, ' ') end
  return 'ADMITTED ' .. seq
end

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
if must_be_declared == 'declared' and is_declared(roster) == 0 then return 'UNDECLARED' end
local taken = is_unique and redis.call('HGET', keys, key or '')
local rival = taken and find_at(roster, taken)
if rival and if_taken == 'refuse' then return 'TAKEN' end
local blocked_by = blocker(roster, mode, tonumber(limit), '+inf')
if blocked_by and not rival and if_blocked == 'withdraw' then return 'WITHDRAWN ' .. blocked_by end
for _, sorted_set in ipairs({ set, waiting, limits }) do redis.call('ZCARD', sorted_set) end

local seq = next_number()
if rival then
  remove_and_admit(rival, 'replaced')
  notify(rival, 'removed')
  blocked_by = blocker(roster, mode, tonumber(limit), '+inf')
  if blocked_by and if_blocked == 'withdraw' then
    publish_roster(roster, 'nothing', '')
    return 'WITHDRAWN ' .. blocked_by
  end
end
place = add(seq)
if is_unique then redis.call('HSET', keys, key or '', place) end
if blocked_by then
  redis.call('ZADD', waiting, seq, place)
  redis.call('ZADD', limits, limit, place)
end
return reply(seq, blocked_by)
