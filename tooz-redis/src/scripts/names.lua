-- What most scripts need besides the head.

local function session_key(session) return space .. 'session:' .. session end

-- The name of the roster, without namespace and kind.
local function name() return string.match(roster, '^{.-}:%l+:(.*)$') end

-- Wakes those who watch the roster or read the topic.
local function changed() redis.call('PUBLISH', roster, '') end
