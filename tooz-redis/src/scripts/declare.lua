-- Gives a roster a durable existence. ARGV: the session's key, the set of declared names, the roster's name

if redis.call('EXISTS', ARGV[1]) == 0 then return 'LOST' end
if redis.call('SADD', ARGV[2], ARGV[3]) == 0 then return 'NONE' end
publish_roster(KEYS[1], 'declared', '1')
publish_name(KEYS[1])
return 'DONE'
