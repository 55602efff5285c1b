-- Says whether our entry is admitted by now. While it is not: for how many milliseconds at most its blockers live
-- without a renewal, which is when to ask again if no news came.
-- ARGV: session, nonce, seq

if redis.call('EXISTS', session_key(ARGV[1])) == 0 then return 'LOST' end
local entry = find(ARGV[2])
if not entry or entry.seq ~= ARGV[3] then return 'NONE' end
local blocked_by, least, swept = blocker(entry.mode, entry.limit, '(' .. entry.seq)
if swept then
  admit()
  changed()
end
if blocked_by then return 'WAITING ' .. least end
return 'ADMITTED'
