-- Ends a session and removes its entries, at most 100 in one call. KEYS[1] is the session's key. ARGV: session
-- The session is due at once, so other clients remove the rest if this one does not come back.

redis.call('DEL', KEYS[1])
local count, bad = remove_entries(ARGV[1], 100)
if count == 100 or #bad > 0 then
  redis.pcall('ZADD', space .. 'sessions', 0, ARGV[1])
  return { 'MORE', unpack(bad) }
end
redis.call('ZREM', space .. 'sessions', ARGV[1])
return 'DONE'
