-- The nonces of all entries of a session. KEYS[1] is the session's key. ARGV: session

if redis.call('EXISTS', KEYS[1]) == 0 then return 'LOST' end
local reply = { 'ENTRIES' }
for _, line in ipairs(redis.call('SMEMBERS', KEYS[1] .. ':entries')) do
  reply[#reply + 1] = turn_to(line, ARGV[1])
end
return reply
