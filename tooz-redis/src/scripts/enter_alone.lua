-- The first part of `enter`: what is always checked, the entry that finds the roster empty, and the one that does not wait
-- for a single holder; they need nothing of what follows.
-- ARGV: the session's key, nonce, "mode limit session key-length " with the key and the value behind it,
--       'withdraw' if it must not wait, kind if it must be declared, if the key is taken (refuse | take-over).
--       What follows the third is '' if it does not apply, and missing if nothing behind it does.

local own, nonce, record, if_blocked, must_be_declared, if_taken = unpack(ARGV)
local barred = own .. ':withdrawn:' .. nonce
-- The session's key counts 4, more than a bar, other entries and a watcher together: one call answers four questions.
local found = redis.call('EXISTS', own, own, own, own, barred, roster, roster .. ':watched')
if found < 4 then return 'LOST' end

local function add(seq)
  redis.call('HSET', roster, nonce, seq .. ' ' .. record)
  redis.call('SADD', own .. ':entries', roster .. ' ' .. nonce)
end

if found == 4 and not must_be_declared then
  local seq = next_number()
  add(seq)
  return 'ADMITTED ' .. seq
end
if redis.call('EXISTS', barred) == 1 then return 'BARRED' end

local crowd = redis.call('HLEN', roster)
if crowd == 1 and if_blocked == 'withdraw' and not must_be_declared then
  local lone, mode = redis.call('HGETALL', roster), string.match(record, '^(%l) 1 ')
  local seq, held, holder = string.match(lone[2], '^(%d+) (%l) %d+ (%x+) ')
  local conflict = mode == 'x' and held ~= 'm' or mode == 's' and held == 'x'
  if conflict and lone[1] ~= nonce and redis.call('EXISTS', space .. 'session:' .. holder) == 1 then
    return 'WITHDRAWN ' .. seq
  end
end
