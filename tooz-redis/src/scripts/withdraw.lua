-- Removes our entry with this nonce, if there is one, and leaves a tombstone, so that an `enter` which arrives later adds
-- nothing. ARGV: the session's key, nonce, life of the tombstone in milliseconds

if redis.call('EXISTS', ARGV[1]) == 0 then return 'LOST' end
local place = redis.call('HGET', ARGV[1] .. ':entries', ARGV[2] .. ' ' .. KEYS[1])
local entry = place and find_at(KEYS[1], place)
if entry then remove_and_admit(entry) end
redis.call('SET', ARGV[1] .. ':withdrawn:' .. ARGV[2], '', 'PX', ARGV[3])
return 'DONE'
