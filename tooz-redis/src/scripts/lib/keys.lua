-- The names of keys. KEYS[1] is the key of a roster, a session or a topic. Every other key is derived from it, begins with
-- the same `{namespace}:`, and is therefore in the same hash slot. See layout.rs for what the keys hold.

local space = string.sub(KEYS[1], 1, string.find(KEYS[1], '}:', 1, true) + 1)

-- The set of a roster for each mode: exclusive, shared, member.
local suffixes = { x = '', s = ':shared', m = ':members' }

local function session_key(session) return space .. 'session:' .. session end

-- Whether a roster is declared.
local function is_declared(roster)
  local kind, name = string.match(roster, '^{.-}:(%l+):(.*)$')
  return redis.call('SISMEMBER', space .. 'declared:' .. kind, name)
end

-- Notifies the clients that watch a roster or read a topic.
local function publish_change(key) redis.call('PUBLISH', key, '') end
