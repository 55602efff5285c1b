-- The nonces of all entries of a session. KEYS[1] is the session's key. ARGV: session

if redis.call('EXISTS', KEYS[1]) == 0 then return 'LOST' end
local reply = { 'ENTRIES' }
for _, line in ipairs(redis.call('SMEMBERS', KEYS[1] .. ':entries')) do
  local nonce
  roster, nonce = string.match(line, '^(%S+) ?(%x*)$')
  if nonce == '' then
    local lone = lone_of(ARGV[1])
    nonce = lone and lone.nonce
  end
  reply[#reply + 1] = nonce
end
return reply
