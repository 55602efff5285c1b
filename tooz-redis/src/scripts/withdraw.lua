-- Removes our entry with this nonce, if there is one, and bars the nonce, so that a late `enter` adds nothing.
-- ARGV: session, nonce, for how many milliseconds

if redis.call('EXISTS', session_key(ARGV[1])) == 0 then return 'LOST' end
local entry = find(ARGV[2])
if entry and entry.session == ARGV[1] then
  remove(entry)
  if entry.mode ~= 'm' then admit() end
  changed()
end
redis.call('SET', session_key(ARGV[1]) .. ':withdrawn:' .. ARGV[2], '', 'PX', ARGV[3])
-- What has the bar looked for, and outlives it. No watcher asks for as long a time.
redis.call('SET', roster .. ':heed', '', 'PX', ARGV[3])
return 'DONE'
