-- Reads a page of a roster: whether it is declared, its version, and the records of at most 500 entries, mode by mode and
-- in order of their seqs.
-- ARGV: the session's key; 'follow' if the client follows the roster, which then has a version, or ''; and from the second
--       page on, the mode and the seq of the last entry

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
local reply = { 'ROSTER', is_declared(KEYS[1]), redis.call('GET', version) or '0' }
local rest = 500
for _, candidate in ipairs({ 'x', 's', 'm' }) do
  if not mode or mode == candidate then
    local first = mode and '(' .. last or '-inf'
    local page = redis.call('ZRANGEBYSCORE', KEYS[1] .. suffixes[candidate], first, '+inf', 'LIMIT', 0, rest)
    rest, mode = rest - #page, nil
    reply[#reply + 1] = page
  end
end
return reply
