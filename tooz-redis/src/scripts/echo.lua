-- Sends a notification on the channel KEYS[1]: a client that receives it receives all that follow. Removes what sessions
-- have left that are over, and says after how many milliseconds the next one may be. ARGV: the rosters that the client follows
-- Keeps their versions alive and returns them, 0 for one that has none.

publish_change(KEYS[1])
local more = reap()
if more then return more end
local reply = { 'DONE', next_deadline() }
for _, roster in ipairs(ARGV) do
  redis.call('PEXPIRE', roster .. ':version', FOLLOWED)
  reply[#reply + 1] = redis.call('GET', roster .. ':version') or '0'
end
return reply
