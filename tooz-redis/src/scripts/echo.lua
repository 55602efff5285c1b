-- Sends a notification on the channel KEYS[1]. Who subscribed to it, and hears this, will hear all that follow.

changed()
return 'DONE'
