-- Sessions whose time is up.
--
-- A session is over when its key has expired. The sorted set `{ns}:sessions` has for each session a time, in milliseconds,
-- before which it cannot be over. A renewal only prolongs the life of the key; the time in the set is corrected when it has
-- passed. So the sessions that are over are found at the front of the set, and every entry that is left belongs to a live
-- session. A roster in the set still has entries to be notified, see `admit`.
--
-- One call examines at most 100 sessions and removes at most 100 entries.

local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Milliseconds until a session may be over, or -1 if there is none.
local function next_deadline()
  local first = redis.call('ZRANGE', space .. 'sessions', 0, 0, 'WITHSCORES')[2]
  return first and string.format('%.0f', math.max(first - clock(), 0)) or '-1'
end

-- Removes at most `count` entries of a session. Returns how many it was, and the keys of a wrong type, which are skipped.
local function remove_entries(session, count)
  local entries, bad = session_key(session) .. ':entries', {}
  local found = redis.call('HRANDFIELD', entries, count, 'WITHVALUES')
  for i = 1, #found, 2 do
    local roster = string.match(found[i], '%S+$')
    local removed = pcall(function()
      local entry = find_at(roster, found[i + 1])
      if entry then remove(entry, has_waiting(roster)) end
    end)
    if not removed then bad[#bad + 1] = roster end
    redis.call('HDEL', entries, found[i])
  end
  return #found / 2, bad
end

-- Examines one member of `{ns}:sessions` that is due. Returns how much of `budget` that took, and the keys of a wrong type.
local function examine(member, now, budget)
  local sessions = space .. 'sessions'
  if string.sub(member, 1, 1) == '{' then
    redis.call('ZREM', sessions, member)
    admit(member)
    return budget, {}
  end
  local left = redis.call('PTTL', session_key(member))
  if left ~= -2 then
    -- A full server refuses it: then the session stays due.
    local reply = redis.pcall('ZADD', sessions, now + (left == -1 and 1000 or left), member)
    return type(reply) == 'number' and 1 or 0, {}
  end
  local ok, count, bad = pcall(remove_entries, member, budget)
  if not ok then count, bad = 0, { session_key(member) .. ':entries' } end
  if count < budget then redis.call('ZREM', sessions, member) end
  return count + 1, bad
end

-- Removes the entries of sessions whose time is up. Returns nil if that was all, else the reply that the script has to give:
-- the client repeats the script then. The reply names the keys of a wrong type.
local function reap()
  local now, budget, reply = clock(), 100, { 'MORE' }
  local due = redis.call('ZRANGEBYSCORE', space .. 'sessions', '-inf', '(' .. now, 'LIMIT', 0, 100)
  for _, member in ipairs(due) do
    local cost, bad = examine(member, now, budget)
    budget = budget - cost
    for _, key in ipairs(bad) do reply[#reply + 1] = key end
    if budget <= 0 then return reply end
  end
  if #reply > 1 then return reply end
end
