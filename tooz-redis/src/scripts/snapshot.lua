-- Reads the roster, without the entries of dead sessions, which it removes.
-- ARGV: session, kind, for how many milliseconds every change must be published, if somebody watches
-- Returns whether it is declared, the least remaining life of a session in milliseconds (-1: none), nonces and records.

if redis.call('EXISTS', session_key(ARGV[1])) == 0 then return 'LOST' end
local all, lives, least, swept = redis.call('HGETALL', roster), {}, -1, false
local declared = redis.call('SISMEMBER', space .. 'declared:' .. ARGV[2], name())
local reply = { 'ROSTER', declared, least }
for i = 1, #all, 2 do
  local session = string.match(all[i + 1], '^%d+ %l %d+ (%x+) ')
  if lives[session] == nil then lives[session] = life(session) or false end
  local left = lives[session]
  if left then
    if left >= 0 and (least < 0 or left < least) then least = left end
    reply[#reply + 1] = all[i]
    reply[#reply + 1] = all[i + 1]
  else
    remove(find(all[i]))
    swept = true
  end
end
if swept then
  admit()
  changed()
end
if ARGV[3] and redis.call('PTTL', roster .. ':heed') < ARGV[3] / 2 then
  local set = redis.pcall('SET', roster .. ':heed', '', 'PX', ARGV[3])
  -- A full server refuses it, and then the watcher must look by itself.
  if set.err and (least < 0 or least > 1000) then least = 1000 end
end
reply[3] = least
return reply
