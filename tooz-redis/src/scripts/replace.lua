-- Replaces the value of our entry, which keeps its place.
-- ARGV: session, nonce, seq, value

if redis.call('EXISTS', session_key(ARGV[1])) == 0 then return 'LOST' end
local entry = find(ARGV[2])
if not entry or entry.seq ~= ARGV[3] or entry.session ~= ARGV[1] then return 'NONE' end
redis.call('HSET', roster, entry.nonce, string.sub(entry.record, 1, entry.body - 1) .. ARGV[4])
changed()
return 'DONE'
