-- Ends the durable existence of a roster without entries.
-- ARGV: the session's key, the set of declared names, the roster's name

if redis.call('EXISTS', ARGV[1]) == 0 then return 'LOST' end
local more = reap()
if more then return more end
if redis.call('SISMEMBER', ARGV[2], ARGV[3]) == 0 then return 'UNDECLARED' end
for _, suffix in pairs(suffixes) do
  if redis.call('EXISTS', KEYS[1] .. suffix) == 1 then return 'NOT_EMPTY' end
end
redis.call('SREM', ARGV[2], ARGV[3])
publish_roster(KEYS[1], 'declared', '0')
return 'DONE'
