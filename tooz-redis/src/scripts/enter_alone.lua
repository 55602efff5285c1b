-- The first part of `enter`: what is always checked, the entry that finds the roster empty, and the one that does not wait
-- for a single holder; they need nothing of what follows.
-- ARGV: the session's key, nonce, "mode limit session key-length " with the key and the value behind it,
--       'withdraw' if it must not wait, kind if it must be declared, if the key is taken (refuse | take-over).
--       What follows the third is '' if it does not apply, and missing if nothing behind it does.

local own, nonce, record, if_blocked, must_be_declared, if_taken = unpack(ARGV)
-- The session's key counts 3, more than other entries and what else is to be heeded: one call answers three questions.
local found = redis.call('EXISTS', own, own, own, roster, roster .. ':heed')
if found < 3 then return 'LOST' end

if found == 3 and not must_be_declared then
  local seq = next_number()
  redis.call('HSET', roster, nonce, seq .. ' ' .. record)
  local entries = own .. ':entries'
  if redis.call('SADD', entries, roster) == 1 and seq % 64 == 0 then
    -- The roster stays in the set when it is left, since it may be entered again. Where no name comes back they would
    -- pile up: so at one in 64 new ones, up to 128 are removed where the session does not stand alone.
    local session, left = string.match(record, '^%l %d+ (%x+) '), {}
    for _, line in ipairs(redis.call('SRANDMEMBER', entries, 128)) do
      local alone = string.find(line, ' ', 1, true) or redis.call('HLEN', line) == 1
        and string.match(redis.call('HGETALL', line)[2], '^%d+ %l %d+ (%x+) ') == session
      if not alone then left[#left + 1] = line end
    end
    if #left > 0 then redis.call('SREM', entries, unpack(left)) end
  end
  return 'ADMITTED ' .. seq
end
if redis.call('EXISTS', own .. ':withdrawn:' .. nonce) == 1 then return 'BARRED' end

local crowd = redis.call('HLEN', roster)
if crowd == 1 and if_blocked == 'withdraw' and not must_be_declared then
  local lone, mode = redis.call('HGETALL', roster), string.match(record, '^(%l) 1 ')
  local seq, held, holder = string.match(lone[2], '^(%d+) (%l) %d+ (%x+) ')
  local conflict = mode == 'x' and held ~= 'm' or mode == 's' and held == 'x'
  if conflict and lone[1] ~= nonce and redis.call('EXISTS', space .. 'session:' .. holder) == 1 then
    return 'WITHDRAWN ' .. seq
  end
end
