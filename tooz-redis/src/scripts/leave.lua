-- Removes our entry if it fits its ticket. ARGV: the session's key, ticket
-- Returns 'MORE' too if not all entries were notified that this admits; echo.lua goes on with them.

-- One call answers two questions: whether the session lives, and whether entries wait.
local found = redis.call('EXISTS', ARGV[1], ARGV[1], KEYS[1] .. ':waiting')
if found < 2 then return 'LOST' end
local entry = find_ticket(KEYS[1], ARGV[2])
if not entry then return 'NONE' end
return remove(entry, found == 3) and 'DONE MORE' or 'DONE'
