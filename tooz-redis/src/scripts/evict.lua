-- Removes the entry with this seq, whichever session it belongs to, and notifies that session. ARGV: the session's key, seq

if redis.call('EXISTS', ARGV[1]) == 0 then return 'LOST' end
for mode in pairs(suffixes) do
  local entry = find(KEYS[1], mode, ARGV[2])
  if entry then
    remove_and_admit(entry)
    notify(entry, 'removed')
    return 'DONE'
  end
end
return 'NONE'
