-- The next number of the namespace, as text: greater than every earlier one, and at least the clock in microseconds, so
-- that it goes on rising where the counter was lost.
local function next_number()
  local time = redis.call('TIME')
  local now = time[1] .. string.sub('00000' .. time[2], -6)
  local last = redis.call('SET', space .. 'seq', now, 'GET')
  -- Of equal length, digits compare as numbers do.
  if not last or (#last == #now and last < now) then return now end
  local next = string.format('%.0f', last + 1)
  redis.call('SET', space .. 'seq', next)
  return next
end
