-- Reads the entries of a session, one page of them. KEYS[1] is the session's key. ARGV: cursor, 0 for the first page
-- Returns the last number of the sequence, the cursor of the next page, and the nonces and rosters of the entries.

if redis.call('EXISTS', KEYS[1]) == 0 then return 'LOST' end
local page = redis.call('HSCAN', KEYS[1] .. ':entries', ARGV[1], 'COUNT', 100)
local reply = { 'ENTRIES', redis.call('GET', space .. 'seq') or '0', page[1] }
for i = 1, #page[2], 2 do
  local nonce, roster = string.match(page[2][i], '^(%x+) (%S+)$')
  if find_at(roster, page[2][i + 1]) then
    reply[#reply + 1] = nonce
    reply[#reply + 1] = roster
  end
end
return reply
