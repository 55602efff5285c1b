-- Gives the roster a durable existence. ARGV: kind

if redis.call('SADD', space .. 'declared:' .. ARGV[1], name()) == 0 then return 'NONE' end
changed()
return 'DONE'
