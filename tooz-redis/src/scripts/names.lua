-- Reads one page of a list of names: rosters with entries, or topics. KEYS[1] is the sorted set of the names, all with score 0.
-- ARGV: the session's key, the name that the page follows or '' for the first page, the greatest number of names

if redis.call('EXISTS', ARGV[1]) == 0 then return 'LOST' end
local more = reap()
if more then return more end
local first = ARGV[2] == '' and '-' or '(' .. ARGV[2]
return { 'NAMES', unpack(redis.call('ZRANGEBYLEX', KEYS[1], first, '+', 'LIMIT', 0, ARGV[3])) }
