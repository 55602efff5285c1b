-- Removes the entry with this seq, whoever owns it; tells its session, and those whom that admits.
-- ARGV: seq

local function with_seq()
  if redis.call('HLEN', roster) == 1 then
    local entry = lone()
    return entry.seq == ARGV[1] and entry
  end
  for _, mode in ipairs({ 'x', 's', 'm' }) do
    local found = redis.call('ZRANGEBYSCORE', roster .. ':' .. mode, ARGV[1], ARGV[1])
    if found[1] then return find(string.match(found[1], '^(%x+) ')) end
  end
end

local entry = with_seq()
if not entry then return 'NONE' end
remove(entry)
tell(entry, 'lost')
if entry.mode ~= 'm' then admit() end
changed()
return 'DONE'
