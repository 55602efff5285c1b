-- The second part of `leave`: removes our entry if it fits its ticket. ARGV: the session's key, ticket
-- Returns 'MORE' too if not all entries were notified that this admits; echo.lua goes on with them.

local entry = find_ticket(roster, ticket)
if not entry then return 'NONE' end
return remove_and_admit(entry) and 'DONE MORE' or 'DONE'
