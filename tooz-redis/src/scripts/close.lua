-- Ends a session and removes its entries, at most 100 in one call. KEYS[1] is the session's key. ARGV: session

redis.call('DEL', KEYS[1])
local count, bad = remove_entries(ARGV[1], 100)
if count == 100 or #bad > 0 then return { 'MORE', unpack(bad) } end
redis.call('ZREM', space .. 'sessions', ARGV[1])
return 'DONE'
