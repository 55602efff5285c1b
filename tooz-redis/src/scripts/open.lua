-- Opens a session. KEYS[1] is the session's key.
-- ARGV: session, TTL in milliseconds, member, name for the history of the namespace if it needs one, the greatest number of
-- the sequence that the client has seen, number of shards, number and id of an earlier session that it has opened, if there
-- is one
-- Returns 'SHARDS' and the number of shards of the namespace if that is another one. Else the name of the history, the last number of its sequence, the number of the session, and whether the earlier
-- session is known.

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

-- The first session decides the number of shards.
local shards = redis.call('GET', space .. 'shards')
if shards and shards ~= ARGV[6] then return 'SHARDS ' .. shards end
if not shards then redis.call('SET', space .. 'shards', ARGV[6]) end

-- The data is older than what the client has seen, and no other client has written since: it learns from the name. The
-- sequence goes on where the client has seen it, so that the other clients that have seen as much keep this name.
local history, seq = redis.call('GET', space .. 'history'), redis.call('GET', space .. 'seq') or '0'
if not history or (tonumber(seq) or 0) < tonumber(ARGV[5]) then
  history, seq = ARGV[4], string.format('%.0f', math.max(tonumber(microseconds()), tonumber(ARGV[5])))
  redis.call('SET', space .. 'history', history)
  redis.call('SET', space .. 'seq', seq)
end

-- The latest sessions, by the order in which they were opened. Older data lacks the client's, or gives its number to another.
local openings, kept = space .. 'openings', 1000
local number = (tonumber(redis.call('HGET', openings, 'last')) or 0) + 1
redis.call('HSET', openings, 'last', number, number, ARGV[1])
redis.call('HDEL', openings, number - kept)
local is_known = not ARGV[7] or tonumber(ARGV[7]) <= number - kept or redis.call('HGET', openings, ARGV[7]) == ARGV[8]

redis.call('ZADD', space .. 'sessions', clock() + ARGV[2], ARGV[1])
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[2])
return { 'DONE', history, seq, number, is_known and 1 or 0 }
