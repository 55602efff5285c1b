-- The greatest offset that was removed, and the newest. KEYS[1] is the topic's stream.

local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
return { 'BOUNDS', redis.call('GET', KEYS[1] .. ':trimmed') or '0', newest and string.match(newest[1], '^%d+') or '0' }
