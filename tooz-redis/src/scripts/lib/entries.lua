-- The entries of a roster.
--
-- A roster has one sorted set for each mode. The score is the seq; the member is the record of the entry:
-- "seq nonce session mode limit key-length ", then the bytes of the unique key and of the value. The entry in `set` with
-- `seq` is found by its score. The hash of entries of its session maps "nonce roster" to its place: "seq mode limit".
--
-- An entry is admitted while fewer than `limit` conflicting entries precede it. Entries that had to wait are also in
-- `:waiting`, by seq, and in `:limits`, by limit, until they are admitted. So the entries that a removal admits are found
-- at the front of `:waiting`, without a look at the rest of the roster.

local conflicting = { x = { 'x', 's' }, s = { 'x' }, m = {} }

-- The entry that a record describes.
local function parse(roster, record)
  local seq, nonce, session, mode, limit, length, rest = string.match(record, '^(%d+) (%x+) (%x+) (%l) (%d+) (%S+) ()')
  if not rest then error('CORRUPT ' .. roster .. ' holds something that is not an entry') end
  local entry = { roster = roster, record = record, seq = seq, nonce = nonce, session = session, mode = mode }
  entry.limit, entry.value = tonumber(limit), rest + (tonumber(length) or 0)
  if length ~= '-' then entry.key = string.sub(record, rest, entry.value - 1) end
  return entry
end

-- The entry with this seq, or nil.
local function find(roster, mode, seq)
  local record = redis.call('ZRANGEBYSCORE', roster .. suffixes[mode], seq, seq)[1]
  return record and parse(roster, record)
end

-- The entry at a place "seq mode limit", or nil.
local function find_at(roster, place)
  local seq, mode = string.match(place, '^(%d+) (%l) ')
  return find(roster, mode, seq)
end

-- The entry that fits a ticket "seq nonce session mode limit ", or nil.
local function find_ticket(roster, ticket)
  local seq, mode = string.match(ticket, '^(%d+) %x+ %x+ (%l) ')
  local entry = find(roster, mode, seq)
  return entry and string.sub(entry.record, 1, #ticket) == ticket and entry
end

-- Notifies the client of an entry that the entry was admitted or removed.
local function notify(entry, event)
  redis.call('PUBLISH', client_channel(entry.session), table.concat({ event, entry.nonce, entry.session }, ' '))
end

-- How many exclusive and how many shared entries precede `bound`.
local function count_before(roster, bound)
  return redis.call('ZCOUNT', roster, '-inf', bound), redis.call('ZCOUNT', roster .. ':shared', '-inf', bound)
end

-- The seq of the nearest conflicting entry before `bound`, or nil if an entry of this mode and limit is admitted there.
local function blocker(roster, mode, limit, bound)
  local count, nearest = 0, nil
  for _, other in ipairs(conflicting[mode]) do
    local set = roster .. suffixes[other]
    count = count + redis.call('ZCOUNT', set, '-inf', bound)
    local last = redis.call('ZREVRANGEBYSCORE', set, bound, '-inf', 'LIMIT', 0, 1)[1]
    local seq = last and string.match(last, '^%d+')
    if seq and (not nearest or tonumber(seq) > tonumber(nearest)) then nearest = seq end
  end
  return count >= limit and nearest or nil
end

-- Takes the entry at a place out of `:waiting`.
local function dequeue(roster, place)
  redis.call('ZREM', roster .. ':waiting', place)
  redis.call('ZREM', roster .. ':limits', place)
end

-- How many entries one call removes at most, and how many waiting entries it examines after a removal.
local LIMIT = 50

-- Has the next script that reaps admit the entries of a roster, after the sessions that are over have been removed; see
-- sessions.lua. Returns false if a full server refuses it.
local function admit_later(roster)
  return type(redis.pcall('ZADD', space .. 'sessions', clock() - 1, roster)) == 'number'
end

-- Notifies the waiting entries that have become admitted. Returns how many it has examined, and whether there may be more of
-- them, which are notified later. Entries with a smaller limit may have to be passed over. The walk ends where so many
-- exclusive entries precede that no limit admits a later one.
local function admit(roster)
  local greatest = tonumber(redis.call('ZREVRANGE', roster .. ':limits', 0, 0, 'WITHSCORES')[2])
  if not greatest then return 0 end
  local passed = 0
  for examined = 1, LIMIT do
    local place = redis.call('ZRANGE', roster .. ':waiting', passed, passed)[1]
    if not place then return examined end
    local entry = find_at(roster, place)
    local exclusive, shared = count_before(roster, '(' .. string.match(place, '^%d+'))
    if not entry then
      dequeue(roster, place)
    elseif exclusive >= greatest then
      return examined
    elseif exclusive + (entry.mode == 'x' and shared or 0) < entry.limit then
      dequeue(roster, place)
      notify(entry, 'admitted')
    else
      passed = passed + 1
    end
    if entry and entry.mode == 'x' and exclusive + 1 >= greatest then return examined end
  end
  return LIMIT, passed < LIMIT and admit_later(roster)
end

-- Removes an entry, and notifies the clients that follow. `change` is 'left', or 'replaced' if another entry takes its place in
-- the same step. Returns whether other entries wait, which `admit` then has to look at. It depends on no command that a full
-- server refuses.
local function remove(entry, change)
  local roster = entry.roster
  redis.call('ZREM', roster .. suffixes[entry.mode], entry.record)
  redis.call('HDEL', session_key(entry.session) .. ':entries', entry.nonce .. ' ' .. roster)
  if entry.key then redis.call('HDEL', roster .. ':keys', entry.key) end
  unlist_if_empty(roster)
  publish_roster(roster, change or 'left', entry.seq)
  dequeue(roster, table.concat({ entry.seq, entry.mode, entry.limit }, ' '))
  return redis.call('EXISTS', roster .. ':waiting') == 1
end

-- Removes an entry and notifies the entries that this admits. Returns whether there may be more of these.
local function remove_and_admit(entry, change)
  return remove(entry, change) and select(2, admit(entry.roster))
end
