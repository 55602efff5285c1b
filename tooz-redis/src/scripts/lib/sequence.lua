-- The sequence of the namespace, which gives seqs to entries and offsets to messages.

-- The next number, as text. It is greater than every earlier one, and at least the clock in microseconds, so that numbers
-- go on rising when the server has lost the last one. A sorted set keeps numbers below 2^53 only.
local function next_number()
  local key, now = space .. 'seq', microseconds()
  local last = redis.call('SET', key, now, 'GET')
  if not last then return now end
  local number = tonumber(last)
  if number and number < tonumber(now) then return now end
  if not (number and number < 2 ^ 53 - 1) then
    redis.call('SET', key, last)
    error('SEQUENCE_END ' .. key .. ' holds ' .. last)
  end
  local next = string.format('%.0f', number + 1)
  redis.call('SET', key, next)
  return next
end
