-- The first part of `enter`: the entry that finds its roster empty. It comes before the library files, because most entries
-- are such, and defining the functions of the library takes a fifth of the time of this part.
--
-- ARGV: the session's key, nonce, mode, limit, the record without its seq, and as far as they apply: 'withdraw' if the entry
--       must not wait, 'declared' if the roster must be, 'refuse' or 'take-over' and the unique key. '' means none.

local roster = KEYS[1]
local own, nonce, mode, limit, record, if_blocked, must_be_declared, if_taken, key = unpack(ARGV)
local field, tombstone = nonce .. ' ' .. roster, own .. ':withdrawn:' .. nonce

-- Adds the entry. Returns its place, "seq mode limit".
local function add(seq)
  local place = seq .. ' ' .. mode .. ' ' .. limit
  list(roster)
  redis.call('HSET', own .. ':entries', field, place)
  local numbered = seq .. ' ' .. record
  redis.call('ZADD', roster .. suffixes[mode], seq, numbered)
  publish_roster(roster, 'entered', numbered)
  return place
end

-- One call answers two questions: the session's key, four times, counts more than all the others together.
local found = redis.call('EXISTS', own, own, own, own, tombstone, roster, roster .. ':shared')
if found < 4 then return 'LOST' end
if found == 4 and #ARGV == 5 and mode ~= 'm' then
  local seq = next_number()
  add(seq)
  return 'ADMITTED ' .. seq
end
