-- Ends a session and removes its entries: call it until it is DONE. KEYS[1] is the session's key. ARGV: session

redis.call('DEL', KEYS[1])
return bury(ARGV[1]) and 'DONE' or 'MORE'
