-- Reads a roster: whether it is declared, after how many milliseconds a session may be over, and the records of its entries.
-- ARGV: the session's key

if redis.call('EXISTS', ARGV[1]) == 0 then return 'LOST' end
local more = reap()
if more then return more end
local reply = { 'ROSTER', is_declared(KEYS[1]), next_deadline() }
for _, suffix in pairs(suffixes) do reply[#reply + 1] = redis.call('ZRANGE', KEYS[1] .. suffix, 0, -1) end
return reply
