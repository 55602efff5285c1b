-- Sends a notification on the channel KEYS[1]: a client that receives it receives all that follow. Removes what sessions
-- have left that are over, and says after how many milliseconds the next one may be.

publish_change(KEYS[1])
return reap() or 'DONE ' .. next_deadline()
