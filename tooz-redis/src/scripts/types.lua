-- Finds keys whose type is not what the driver expects. KEYS[1] is the key of a roster, a session, a topic or the list of names.
-- ARGV: the session's key. Returns the key, its type and the expected one for each.

local of_session = string.find(KEYS[1], space .. 'session:', 1, true) == 1
local own = of_session and KEYS[1] or ARGV[1]
local expected = {
  [space .. 'seq'] = 'string', [space .. 'history'] = 'string', [space .. 'shards'] = 'string', [space .. 'sessions'] = 'zset',
  [space .. 'openings'] = 'hash', [space .. 'names'] = 'zset',
  [own] = 'string', [own .. ':entries'] = 'hash',
}
if string.find(KEYS[1], space .. 'topic:', 1, true) == 1 then
  expected[KEYS[1]], expected[KEYS[1] .. ':trimmed'] = 'stream', 'string'
elseif not of_session and KEYS[1] ~= space .. 'names' then
  expected[space .. 'declared:' .. kind_and_name(KEYS[1])] = 'set'
  for _, suffix in pairs(suffixes) do expected[KEYS[1] .. suffix] = 'zset' end
  expected[KEYS[1] .. ':waiting'], expected[KEYS[1] .. ':limits'] = 'zset', 'zset'
  expected[KEYS[1] .. ':keys'], expected[KEYS[1] .. ':version'] = 'hash', 'string'
end
local reply = { 'TYPES' }
for key, type in pairs(expected) do
  local found = redis.call('TYPE', key).ok
  if found ~= type and found ~= 'none' then
    for _, word in ipairs({ key, found, type }) do reply[#reply + 1] = word end
  end
end
return reply
