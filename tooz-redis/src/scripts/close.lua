-- Ends a session and removes its entries, a limited number in one call. KEYS[1] is the session's key. ARGV: session
-- The session is due at once, so other clients remove the rest if this one does not come back.

redis.call('DEL', KEYS[1])
redis.pcall('ZADD', space .. 'sessions', 0, ARGV[1])
local cost, bad = examine(ARGV[1], clock(), LIMIT)
if cost > LIMIT or #bad > 0 then return { 'MORE', unpack(bad) } end
return reap() or 'DONE'
