-- For the scripts that act on whole sessions; it follows the prelude.

-- Removes at most 500 entries of a session that is over, and says whether it was all.
local function bury(session)
  local entries = session_key(session) .. ':entries'
  local found = redis.call('SRANDMEMBER', entries, 500)
  for _, line in ipairs(found) do
    local nonce = turn_to(line, session)
    local entry = nonce and find(nonce)
    if entry then
      remove(entry)
      if entry.mode ~= 'm' then admit() end
      changed()
    end
    redis.call('SREM', entries, line)
  end
  if #found == 500 then return false end
  redis.call('SREM', space .. 'sessions', session)
  return true
end
