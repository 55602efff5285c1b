-- Opens a session. KEYS[1] is the session's key.
-- ARGV: session, TTL in milliseconds, member, name for the history of the namespace if it has none
-- Returns the name of the history and the last number of its sequence.

-- Every command of the scripts, on a key of its own. A user that may not run one of them learns it now, and no script ever
-- stops half-way for the lack of a permission.
local probe = KEYS[1] .. ':probe'
for _, command in ipairs({
  { 'ZADD', probe, 1, 'm' }, { 'ZCARD', probe }, { 'ZCOUNT', probe, 0, 1 }, { 'ZRANGE', probe, 0, 0 },
  { 'ZREVRANGE', probe, 0, 0 }, { 'ZRANGEBYSCORE', probe, 1, 1 }, { 'ZREVRANGEBYSCORE', probe, 1, 1 }, { 'ZRANGEBYLEX', probe, '-', '+' },
  { 'ZREM', probe, 'm' }, { 'ZREMRANGEBYSCORE', probe, 1, 1 }, { 'HSET', probe, 'f', '1' }, { 'HGET', probe, 'f' }, { 'HRANDFIELD', probe, 1, 'WITHVALUES' },
  { 'HSCAN', probe, 0 }, { 'HDEL', probe, 'f' }, { 'SADD', probe, 'm' }, { 'SISMEMBER', probe, 'm' },
  { 'SREM', probe, 'm' }, { 'SET', probe, '1', 'GET' }, { 'GET', probe }, { 'EXISTS', probe }, { 'PEXPIRE', probe, 1000 },
  { 'PTTL', probe }, { 'TYPE', probe }, { 'DEL', probe }, { 'TIME' }, { 'PUBLISH', KEYS[1], '' },
}) do
  redis.call(unpack(command))
end

local history, seq = redis.call('GET', space .. 'history'), redis.call('GET', space .. 'seq')
if not history then
  history = ARGV[4]
  redis.call('SET', space .. 'history', history)
end
redis.call('ZADD', space .. 'sessions', clock() + ARGV[2], ARGV[1])
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[2])
return { 'DONE', history, seq or '0' }
