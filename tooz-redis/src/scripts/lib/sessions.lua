-- Sessions whose time is up.
--
-- A session is over when its key has expired. The sorted set `{ns}:sessions` has for each session a time, in milliseconds,
-- before which it cannot be over. A renewal only prolongs the life of the key; the time in the set is corrected when it has
-- passed. So the sessions that are over are found at the front of the set, and every entry that is left belongs to a live
-- session. A roster in the set still has entries to be notified, see `admit`.
--
-- One call has a budget: each entry that it removes or examines costs 1, and each session that is not over.

-- Milliseconds until a session may be over, or -1 if there is none.
local function next_deadline()
  local first = redis.call('ZRANGE', space .. 'sessions', 0, 0, 'WITHSCORES')[2]
  return first and string.format('%.0f', math.max(first - clock(), 0)) or '-1'
end

-- Removes at most `count` entries of a session. Returns how many it was, and the keys of a wrong type, which are skipped.
local function remove_entries(session, count)
  local entries, freed, bad = session_key(session) .. ':entries', {}, {}
  local found = redis.call('HRANDFIELD', entries, count, 'WITHVALUES')
  for i = 1, #found, 2 do
    local roster = string.match(found[i], '%S+$')
    local removed = pcall(function()
      local entry = find_at(roster, found[i + 1])
      if entry and remove(entry) then freed[roster] = true end
    end)
    if not removed then bad[#bad + 1] = roster end
    redis.call('HDEL', entries, found[i])
  end
  for roster in pairs(freed) do
    if not admit_later(roster) then admit(roster) end
  end
  return #found / 2, bad
end

-- Examines one member of `{ns}:sessions` that is due. Returns how much of `budget` that took, the keys of a wrong type, and
-- whether the member stays due because a full server refuses the correction.
local function examine(member, now, budget)
  local sessions = space .. 'sessions'
  if string.sub(member, 1, 1) == '{' then
    redis.call('ZREM', sessions, member)
    return admit(member), {}
  end
  local left = redis.call('PTTL', session_key(member))
  if left ~= -2 then
    local reply = redis.pcall('ZADD', sessions, now + (left == -1 and 1000 or left), member)
    return 1, {}, type(reply) ~= 'number'
  end
  local ok, count, bad = pcall(remove_entries, member, budget)
  if not ok then count, bad = 0, { session_key(member) .. ':entries' } end
  if count < budget then redis.call('ZREM', sessions, member) end
  return count + 1, bad
end

-- Removes the entries of sessions whose time is up. Returns nil if that was all, else the reply that the script has to give:
-- the client repeats the script then. The reply names the keys of a wrong type.
local function reap()
  local budget, reply, kept = LIMIT, { 'MORE' }, 0
  while budget > 0 do
    -- Read again each time, since `admit_later` makes rosters due meanwhile.
    local now = clock()
    local member = redis.call('ZRANGEBYSCORE', space .. 'sessions', '-inf', '(' .. now, 'LIMIT', kept, 1)[1]
    if not member then return #reply > 1 and reply or nil end
    local cost, bad, stays_due = examine(member, now, budget)
    budget = budget - cost
    if stays_due then kept = kept + 1 end
    for _, key in ipairs(bad) do reply[#reply + 1] = key end
  end
  return kept < LIMIT and reply or nil
end
