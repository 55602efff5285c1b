-- Appends a message to a topic. KEYS[1] is the topic's stream. ARGV: the session's key, payload, how many messages to keep
-- Returns the offset, and 'MORE' if more messages than one call removes are beyond the retention; see trim.lua.

if redis.call('EXISTS', ARGV[1]) == 0 then return 'LOST' end
local is_first = redis.call('XLEN', KEYS[1]) == 0
redis.call('GET', KEYS[1] .. ':trimmed')
local offset = next_number()
if is_first then list(KEYS[1]) end
redis.call('XADD', KEYS[1], offset .. '-0', 'p', ARGV[2])
local more = trim(KEYS[1], tonumber(ARGV[3]))
publish_change(KEYS[1])
return 'DONE ' .. offset .. (more and ' MORE' or '')
