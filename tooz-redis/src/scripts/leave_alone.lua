-- The first part of `leave`: what is always checked, and the entry that stands alone, which needs nothing of what follows.
-- ARGV: the session's key, nonce, how the entry's record must begin: "seq mode limit session "

local own, nonce, beginning = unpack(ARGV)
local among = KEYS[1] .. ':' .. string.match(beginning, '%l')
-- The session's key counts 3, the sorted set of our mode and what else is to be heeded 1 each: without that set no second
-- entry can be there, and without the other nobody need be told.
local found = redis.call('EXISTS', own, own, own, among, KEYS[1] .. ':heed')
if found < 3 then return 'LOST' end
local record = redis.call('HGET', KEYS[1], nonce)
if not record or string.find(record, beginning, 1, true) ~= 1 then return 'NONE' end
if found == 3 then
  redis.call('DEL', KEYS[1])
  return 'DONE'
end
