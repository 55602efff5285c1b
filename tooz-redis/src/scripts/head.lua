-- Stands in front of every script, of `leave` behind its first part. KEYS[1] is the key of a roster, a session or a
-- topic; all other keys are derived from it, begin with the same `{namespace}:` and so stand in the same hash slot. See
-- layout.rs for what there is.

local roster = KEYS[1]
local space = string.sub(roster, 1, string.find(roster, '}:', 1, true) + 1)
