-- Reads the greatest offset that retention has removed, and the newest one. KEYS[1] is the topic's stream.
-- ARGV: the session's key

if redis.call('EXISTS', ARGV[1]) == 0 then return 'LOST' end
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local trimmed = redis.call('GET', KEYS[1] .. ':trimmed') or '0'
return 'BOUNDS ' .. trimmed .. ' ' .. (newest and string.match(newest[1], '^%d+') or '0')
