-- The greatest offset that was removed, and the newest. KEYS[1] is the topic's stream.

local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local trimmed = redis.call('GET', KEYS[1] .. ':trimmed') or '0'
return 'BOUNDS ' .. trimmed .. ' ' .. (newest and string.match(newest[1], '^%d+') or '0')
