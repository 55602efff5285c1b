-- Removes messages of a topic beyond the retention. KEYS[1] is the topic's stream.
-- ARGV: the session's key, how many messages to keep

return trim(KEYS[1], tonumber(ARGV[2])) and 'MORE' or 'DONE'
