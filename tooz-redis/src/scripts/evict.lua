-- Removes the entry with this seq, whoever owns it; tells its session, and those whom that admits.
-- ARGV: seq

for _, mode in ipairs({ 'x', 's', 'm' }) do
  local found = redis.call('ZRANGEBYSCORE', roster .. ':' .. mode, ARGV[1], ARGV[1])
  if found[1] then
    local entry = find(string.match(found[1], '^(%x+) '))
    remove(entry)
    tell(entry, 'lost')
    if mode ~= 'm' then admit() end
    changed()
    return { 'DONE' }
  end
end
return { 'NONE' }
