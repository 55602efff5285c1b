-- Reads one page of the rosters with entries of one kind, or of the topics. KEYS[1] is the sorted set of all names, each with
-- score 0. ARGV: the session's key, the kind, the name that the page follows or '' for the first page, the greatest number of names

local own, kind, after, limit = unpack(ARGV)
if redis.call('EXISTS', own) == 0 then return 'LOST' end
local more = reap()
if more then return more end
local reply, first = { 'NAMES' }, after == '' and '[' .. kind .. ':' or '(' .. kind .. ':' .. after
-- A semicolon is the next character after a colon.
for _, name in ipairs(redis.call('ZRANGEBYLEX', KEYS[1], first, '(' .. kind .. ';', 'LIMIT', 0, limit)) do
  reply[#reply + 1] = string.sub(name, #kind + 2)
end
return reply
