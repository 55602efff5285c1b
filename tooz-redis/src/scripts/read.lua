-- Reads messages after an offset. KEYS[1] is the topic's stream. ARGV: the session's key, offset, the number after it, limit

if redis.call('EXISTS', ARGV[1]) == 0 then return 'LOST' end
local trimmed = redis.call('GET', KEYS[1] .. ':trimmed')
if trimmed and tonumber(ARGV[2]) < tonumber(trimmed) then return 'GAP ' .. trimmed end
local reply = { 'MESSAGES' }
for _, message in ipairs(redis.call('XRANGE', KEYS[1], ARGV[3], '+', 'COUNT', ARGV[4])) do
  reply[#reply + 1] = string.match(message[1], '^%d+')
  reply[#reply + 1] = message[2][2]
end
return reply
