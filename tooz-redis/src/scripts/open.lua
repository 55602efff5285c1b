-- Opens a session, and clears away what a few dead ones have left. KEYS[1] is the session's key.
-- ARGV: session, TTL in milliseconds, member

-- Every command of the other scripts, on a key of its own: who may not run one learns it now, and no script ever stops
-- half-way for the lack of a permission.
local probe = KEYS[1] .. ':probe'
for _, command in ipairs({
  { 'HSET', probe, 'f', '1' }, { 'HGET', probe, 'f' }, { 'HLEN', probe }, { 'HGETALL', probe }, { 'HKEYS', probe },
  { 'HDEL', probe, 'f' }, { 'ZADD', probe, 1, 'm' }, { 'ZCOUNT', probe, 0, 1 }, { 'ZRANGE', probe, 0, 0 },
  { 'ZREVRANGE', probe, 0, 0 }, { 'ZRANGEBYSCORE', probe, 1, 1 }, { 'ZREVRANGEBYSCORE', probe, 1, 1 },
  { 'ZREM', probe, 'm' }, { 'SADD', probe, 'm' }, { 'SISMEMBER', probe, 'm' }, { 'SMEMBERS', probe },
  { 'SRANDMEMBER', probe, 1 }, { 'SREM', probe, 'm' }, { 'SET', probe, '1', 'GET' }, { 'EXISTS', probe },
  { 'PEXPIRE', probe, 1000 }, { 'PTTL', probe }, { 'DEL', probe }, { 'TIME' },
  { 'PUBLISH', KEYS[1], 'open' },
}) do
  redis.call(unpack(command))
end

redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[2])
redis.call('SADD', space .. 'sessions', ARGV[1])
for _, session in ipairs(redis.call('SRANDMEMBER', space .. 'sessions', 8)) do
  if not life(session) then bury(session) end
end
return 'DONE'
