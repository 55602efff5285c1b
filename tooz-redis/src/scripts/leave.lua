-- Removes our entry if it stands with this seq, and tells those whom that admits.
-- ARGV: session, nonce, seq

if redis.call('EXISTS', session_key(ARGV[1])) == 0 then return { 'LOST' } end
local entry = find(ARGV[2])
if not entry or entry.seq ~= tonumber(ARGV[3]) or entry.session ~= ARGV[1] then return { 'NONE' } end
remove(entry)
if entry.mode ~= 'm' then admit() end
changed()
return { 'DONE' }
