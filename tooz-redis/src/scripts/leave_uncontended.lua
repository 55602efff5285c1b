-- The first part of `leave`: the entry of a roster in which nothing waits and no key is unique. It comes before the library
-- files, as enter_uncontended.lua does. ARGV: the session's key, ticket

-- One call answers two questions: whether the session lives, and whether there is more to look at.
local own, ticket, roster = ARGV[1], ARGV[2], KEYS[1]
local found = redis.call('EXISTS', own, own, own, roster .. ':waiting', roster .. ':keys')
if found < 3 then return 'LOST' end
if found == 3 then
  local seq, nonce, mode, limit = string.match(ticket, '^(%d+) (%x+) %x+ (%l) (%d+) $')
  local field, place = nonce .. ' ' .. roster, seq .. ' ' .. mode .. ' ' .. limit
  if redis.call('HGET', own .. ':entries', field) ~= place then return 'NONE' end
  redis.call('HDEL', own .. ':entries', field)
  if redis.call('ZREMRANGEBYSCORE', roster .. suffixes[mode], seq, seq) == 0 then return 'NONE' end
  -- With an exclusive entry of limit 1 any other would wait.
  if mode == 'x' and limit == '1' then unlist(roster) else unlist_if_empty(roster) end
  publish_roster(roster, 'left', seq)
  return 'DONE'
end
