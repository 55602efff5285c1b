-- The first part of `leave`: what is always checked, and the entry that stands alone, which needs nothing of what follows.
-- ARGV: session, nonce, how the entry's record must begin: "seq mode limit session "

local session, nonce, beginning = ARGV[1], ARGV[2], ARGV[3]
-- The session's key counts 4, and each of the sorted sets 1: without any of those no second entry can be there.
local own = session_key(session)
local state = redis.call('EXISTS', own, own, own, own, roster .. ':x', roster .. ':s', roster .. ':m')
if state < 4 then return 'LOST' end
local record = redis.call('HGET', roster, nonce)
if not record or string.sub(record, 1, #beginning) ~= beginning then return 'NONE' end
if state == 4 or redis.call('HLEN', roster) == 1 then
  redis.call('DEL', roster, roster .. ':x', roster .. ':s', roster .. ':m', roster .. ':waiting', roster .. ':limits',
    roster .. ':keys')
  redis.call('SREM', own .. ':entries', subject .. ' ' .. nonce)
  changed()
  return 'DONE'
end
