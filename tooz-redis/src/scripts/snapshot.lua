-- Reads a page of a roster: whether it is declared, its version, whether the page is the last one, and the records of
-- entries, mode by mode and in order of their seqs.
-- ARGV: the session's key; 'follow' if the client follows the roster, which then has a version, or ''; and from the second
--       page on, the mode and the seq of the last entry

-- A page ends when it has so many elements or bytes. Entries are read by the chunk, since only the record tells its size.
local PAGE, PAGE_BYTES, CHUNK = 500, 2 ^ 20, 20

local own, follows, mode, last = unpack(ARGV)
if redis.call('EXISTS', own) == 0 then return 'LOST' end
local more = reap()
if more then return more end
local version = KEYS[1] .. ':version'
if follows == 'follow' then
  -- A full server refuses it.
  redis.pcall('SET', version, microseconds(), 'NX', 'PX', FOLLOWED)
  redis.call('PEXPIRE', version, FOLLOWED)
end
local reply, bytes = { 'ROSTER', is_declared(KEYS[1]), redis.call('GET', version) or '0', 0 }, 0
for _, candidate in ipairs({ 'x', 's', 'm' }) do
  if not mode or mode == candidate then
    local set, first, chunk = KEYS[1] .. suffixes[candidate], mode and '(' .. last or '-inf', nil
    mode = nil
    repeat
      if #reply >= PAGE or bytes >= PAGE_BYTES then return reply end
      chunk = redis.call('ZRANGEBYSCORE', set, first, '+inf', 'LIMIT', 0, CHUNK)
      for _, record in ipairs(chunk) do
        reply[#reply + 1], bytes = record, bytes + #record
      end
      first = #chunk > 0 and '(' .. string.match(chunk[#chunk], '^%d+')
    until #chunk < CHUNK
  end
end
reply[4] = 1
return reply
