-- The second part of `leave`, after leave_alone.lua: others stand in the roster, and those whom it admits are told,
-- or something else is to be heeded.

local entry = read(nonce, record)
remove(entry)
if redis.call('EXISTS', roster) == 0 then
  -- Also what an entry has left that somebody took away by hand.
  redis.call('DEL', roster .. ':x', roster .. ':s', roster .. ':m', roster .. ':waiting', roster .. ':limits',
    roster .. ':keys')
elseif entry.mode ~= 'm' then
  admit()
end
changed()
return 'DONE'
