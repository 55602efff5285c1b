-- Removes our entry with this nonce, if there is one, and bars the nonce, so that a late `enter` adds nothing.
-- ARGV: session, nonce, for how many milliseconds

if redis.call('EXISTS', session_key(ARGV[1])) == 0 then return 'LOST' end
local entry = find(ARGV[2])
if entry and entry.session == ARGV[1] then
  remove(entry)
  if entry.mode ~= 'm' then admit() end
  changed()
end
-- First what has the bar looked for.
if redis.call('PTTL', roster .. ':heed') < tonumber(ARGV[3]) then
  redis.call('SET', roster .. ':heed', '', 'PX', ARGV[3])
end
redis.call('SET', session_key(ARGV[1]) .. ':withdrawn:' .. ARGV[2], '', 'PX', ARGV[3])
return 'DONE'
