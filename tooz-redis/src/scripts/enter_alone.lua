-- The first part of `enter`: what is always checked, and the entry that finds the roster empty, which needs nothing of
-- what follows.
-- ARGV: session, nonce, "mode limit session key-length ", key and value, if blocked (wait | withdraw),
--       kind if it must be declared (or ''), if the key is taken (refuse | take-over, or '' if there is no key)

local session, nonce, must_be_declared, if_taken = ARGV[1], ARGV[2], ARGV[6] or '', ARGV[7] or ''
local own = session_key(session)
-- The session's key counts twice, so that 2 means that it is there and that the nonce is not barred.
local state = redis.call('EXISTS', own, own, space .. 'withdrawn:' .. session .. ':' .. nonce)
if state ~= 2 then return state == 3 and 'BARRED' or 'LOST' end

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

local crowd = redis.call('HLEN', roster)
if crowd == 0 then
  if undeclared() then return 'UNDECLARED' end
  local seq = next_number()
  add(seq)
  return 'ADMITTED ' .. seq
end
