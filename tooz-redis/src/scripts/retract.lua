-- Ends the durable existence of a roster without entries. ARGV: kind

local declared = space .. 'declared:' .. ARGV[1]
if redis.call('SISMEMBER', declared, name()) == 0 then return 'UNDECLARED' end
for _, nonce in ipairs(redis.call('HKEYS', roster)) do
  local entry = find(nonce)
  if life(entry.session) then return 'CROWDED' end
  remove(entry)
end
redis.call('SREM', declared, name())
changed()
return 'DONE'
