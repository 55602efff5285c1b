-- The names of keys. KEYS[1] is the key of a roster, a session or a topic. Every other key is derived from it, begins with
-- the same `{namespace}:`, and is therefore in the same hash slot. See layout.rs for what the keys hold.

local space = string.sub(KEYS[1], 1, string.find(KEYS[1], '}:', 1, true) + 1)

-- The set of a roster for each mode: exclusive, shared, member.
local suffixes = { x = '', s = ':shared', m = ':members' }

local function session_key(session) return space .. 'session:' .. session end

local function kind_and_name(roster) return string.match(roster, '^{.-}:(%l+):(.*)$') end

-- Whether a roster is declared.
local function is_declared(roster)
  local kind, name = kind_and_name(roster)
  return redis.call('SISMEMBER', space .. 'declared:' .. kind, name)
end

-- Adds a roster to the list of rosters with entries.
local function list(roster)
  local kind, name = kind_and_name(roster)
  redis.call('ZADD', space .. 'rosters:' .. kind, 0, name)
end

-- Takes a roster that has no entry any more from the list.
local function unlist_if_empty(roster)
  if redis.call('EXISTS', roster, roster .. ':shared', roster .. ':members') > 0 then return end
  local kind, name = kind_and_name(roster)
  redis.pcall('ZREM', space .. 'rosters:' .. kind, name)
end

-- Notifies the clients that watch a roster or read a topic.
local function publish_change(key) redis.call('PUBLISH', key, '') end
