-- The names of keys. KEYS[1] is the key of a roster, a session or a topic. Every other key is derived from it, begins with
-- the same `{namespace}:`, and is therefore in the same hash slot. See layout.rs for what the keys hold.

local space = string.sub(KEYS[1], 1, string.find(KEYS[1], '}:', 1, true) + 1)

-- The set of a roster for each mode: exclusive, shared, member.
local suffixes = { x = '', s = ':shared', m = ':members' }

-- For how many milliseconds a roster keeps its version after the last sign of life of a client that follows it.
local FOLLOWED = 60000

local function session_key(session) return space .. 'session:' .. session end

-- The channel of the client to which a session belongs. The id of a session begins with the 16 characters of its client's.
local function client_channel(session) return space .. 'client:' .. string.sub(session, 1, 16) end

local function kind_and_name(roster) return string.match(roster, '^{.-}:(%l+):(.*)$') end

-- Whether a roster is declared.
local function is_declared(roster)
  local kind, name = kind_and_name(roster)
  return redis.call('SISMEMBER', space .. 'declared:' .. kind, name)
end

-- The name of a roster or topic in the list of those in use: `kind:name`.
local function listed_name(key) return string.sub(key, #space + 1) end

-- Takes a roster from the list.
local function unlist(roster) redis.pcall('ZREM', space .. 'names', listed_name(roster)) end

-- Takes a roster from the list that has no entry any more.
local function unlist_if_empty(roster)
  if redis.call('EXISTS', roster, roster .. ':shared', roster .. ':members') == 0 then unlist(roster) end
end

-- Notifies the clients that read a topic.
local function publish_change(key) redis.call('PUBLISH', key, '') end

-- The clock in microseconds, as text.
local function microseconds()
  local time = redis.call('TIME')
  return time[1] .. string.sub('00000' .. time[2], -6)
end

-- The clock in milliseconds.
local function clock() return math.floor(microseconds() / 1000) end

-- Publishes a change of a roster to the clients that follow it: the version before it, the version after it, the change. These
-- clients keep the version alive; without it there are none. No version is used twice, even if the server has lost the last
-- ones, since it is at least the clock. A full server refuses the next version; then it goes, and the clients read again.
local function publish_roster(roster, change, content)
  local key = roster .. ':version'
  local last = redis.call('GET', key)
  if not last then return end
  local next = string.format('%.0f', math.max(tonumber(microseconds()), (tonumber(last) or 0) + 1))
  if redis.pcall('SET', key, next, 'KEEPTTL').err then return redis.call('DEL', key) end
  redis.call('PUBLISH', roster, table.concat({ last, next, change, content }, ' '))
end

-- Notifies the clients that watch the names in use of a new one.
local function publish_name(key) publish_roster(space .. 'names:new', 'name', listed_name(key)) end

-- Adds a roster or topic to the list of those in use.
local function list(key)
  if redis.call('ZADD', space .. 'names', 0, listed_name(key)) == 1 then publish_name(key) end
end
