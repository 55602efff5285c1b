-- The second part of `leave`, after leave_alone.lua: others stand in the roster, and those whom it admits are told.

local entry = find(nonce)
remove(entry)
if entry.mode ~= 'm' then admit() end
changed()
return 'DONE'
