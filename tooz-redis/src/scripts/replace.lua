-- Replaces the value of our entry, which keeps its seq. ARGV: the session's key, ticket, value

if redis.call('EXISTS', ARGV[1]) == 0 then return 'LOST' end
local entry = find_ticket(KEYS[1], ARGV[2])
if not entry then return 'NONE' end
local set, record = KEYS[1] .. suffixes[entry.mode], string.sub(entry.record, 1, entry.value - 1) .. ARGV[3]
-- In this order, because a full server refuses the first.
if redis.call('ZADD', set, entry.seq, record) == 1 then redis.call('ZREM', set, entry.record) end
publish_roster(KEYS[1], 'value', record)
return 'DONE'
