-- Appends a message and removes all but the newest ones. KEYS[1] is the topic's stream. ARGV: payload, how many to keep

local number, keep = next_number(), tonumber(ARGV[2])
redis.call('XADD', KEYS[1], number .. '-0', 'p', ARGV[1])
local excess = redis.call('XLEN', KEYS[1]) - keep
while excess > 0 do
  local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', math.min(excess, 100))
  redis.call('SET', KEYS[1] .. ':trimmed', string.match(oldest[#oldest][1], '^%d+'))
  excess = excess - #oldest
  redis.call('XTRIM', KEYS[1], 'MAXLEN', keep + excess)
end
changed()
return 'DONE ' .. number
