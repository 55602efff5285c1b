-- The first part of `enter`: what is always checked, the entry that finds the roster empty, and the one that does not wait
-- for a single holder; they need nothing of what follows.
-- ARGV: session, nonce, "mode limit session key-length ", key and value, if blocked (wait | withdraw),
--       kind if it must be declared (or ''), if the key is taken (refuse | take-over, or '' if there is no key)

local session, nonce, must_be_declared, if_taken = ARGV[1], ARGV[2], ARGV[6] or '', ARGV[7] or ''
local own = session_key(session)
-- One call for three questions: the session's key counts 2, a barred nonce 1, and a roster with entries 4.
local barred = space .. 'withdrawn:' .. session .. ':' .. nonce
local state = redis.call('EXISTS', own, own, barred, roster, roster, roster, roster)
if state % 4 < 2 then return 'LOST' end
if state % 2 == 1 then return 'BARRED' end

local function undeclared()
  local name = string.match(subject, ':(.*)$')
  return must_be_declared ~= '' and redis.call('SISMEMBER', space .. 'declared:' .. must_be_declared, name) == 0
end

local function key() return string.sub(ARGV[4], 1, tonumber(string.match(ARGV[3], '(%d+) $'))) end

local function add(seq)
  redis.call('HSET', roster, nonce, seq .. ' ' .. ARGV[3] .. ARGV[4])
  redis.call('SADD', own .. ':entries', subject .. ' ' .. nonce)
  if if_taken ~= '' then redis.call('HSET', roster .. ':keys', key(), nonce) end
  changed()
end

if state < 4 then
  if undeclared() then return 'UNDECLARED' end
  local seq = next_number()
  add(seq)
  return 'ADMITTED ' .. seq
end

local crowd = redis.call('HLEN', roster)
if crowd == 1 and ARGV[5] == 'withdraw' and if_taken == '' and not undeclared() then
  local lone, mode = redis.call('HGETALL', roster), string.match(ARGV[3], '^(%l) 1 ')
  local seq, held, holder = string.match(lone[2], '^(%d+) (%l) %d+ (%x+) ')
  local conflict = mode == 'x' and held ~= 'm' or mode == 's' and held == 'x'
  if conflict and lone[1] ~= nonce and redis.call('EXISTS', session_key(holder)) == 1 then return 'WITHDRAWN ' .. seq end
end
