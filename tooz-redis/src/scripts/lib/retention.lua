-- The retention of a topic, whose messages are a stream.

-- Removes messages beyond the newest `keep`, at most 100 in one call. Returns whether there are more.
local function trim(topic, keep)
  local length = redis.call('XLEN', topic)
  local count = math.min(length - keep, 100)
  if count <= 0 then return false end
  local oldest = redis.call('XRANGE', topic, '-', '+', 'COUNT', count)
  redis.call('SET', topic .. ':trimmed', string.match(oldest[#oldest][1], '^%d+'))
  redis.call('XTRIM', topic, 'MAXLEN', length - count)
  return length - count > keep
end
