-- Forgets policies that have ended, each unless somebody has written another since. KEYS: policies. ARGV: swarm and what was
-- read, for each.
for i = 6, #ARGV, 2 do
    if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then redis.call('HDEL', KEYS[1], ARGV[i]) end
end
return {}
