-- Says whether our entry is admitted by now, and if not, after how many milliseconds a session may be over.
-- ARGV: the session's key, ticket

if redis.call('EXISTS', ARGV[1]) == 0 then return 'LOST' end
local more = reap()
if more then return more end
local entry = find_ticket(KEYS[1], ARGV[2])
if not entry then return 'NONE' end
if blocker(KEYS[1], entry.mode, entry.limit, '(' .. entry.seq) then return 'WAITING ' .. next_deadline() end
return 'ADMITTED'
