-- Stands in front of every script. KEYS[1] is the key of a roster, a session or a topic; all other keys are derived from
-- it, begin with the same `{namespace}:` and so stand in the same hash slot. See layout.rs for what there is.

local subject_at = string.find(KEYS[1], '}:', 1, true) + 2
local space = string.sub(KEYS[1], 1, subject_at - 1)
local roster, subject = KEYS[1], string.sub(KEYS[1], subject_at)

local function session_key(session) return space .. 'session:' .. session end

-- Wakes those who watch the roster or read the topic.
local function changed() redis.call('PUBLISH', roster, '') end

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
