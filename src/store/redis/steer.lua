-- Gives a swarm a policy of its own. KEYS: policies. ARGV: how many there may be, swarm, policy. Says whether there was room.
local policies, swarm = KEYS[1], ARGV[7]
if redis.call('HLEN', policies) >= tonumber(ARGV[6]) and not redis.call('HGET', policies, swarm) then return 0 end
redis.call('HSET', policies, swarm, ARGV[8])
renew()
return 1
