-- The first part of `leave`: what is always checked, and the entry that stands alone, which needs nothing of what follows.
-- ARGV: session, nonce, how the entry's record must begin: "seq mode limit session "

local session, nonce, beginning = ARGV[1], ARGV[2], ARGV[3]
if redis.call('EXISTS', session_key(session)) == 0 then return 'LOST' end
local record = redis.call('HGET', roster, nonce)
if not record or string.sub(record, 1, #beginning) ~= beginning then return 'NONE' end
if redis.call('HLEN', roster) == 1 then
  redis.call('DEL', roster, roster .. ':x', roster .. ':s', roster .. ':m', roster .. ':waiting', roster .. ':limits',
    roster .. ':keys')
  redis.call('SREM', session_key(session) .. ':entries', subject .. ' ' .. nonce)
  changed()
  return 'DONE'
end
