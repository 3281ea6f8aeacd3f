-- Takes peers away that have been put into the shard where they belong, each unless it changed meanwhile.
-- ARGV: peer, record, evidence or nothing, seen, for each.
local news = false
for i = 6, #ARGV, 4 do
    local peer = ARGV[i]
    local seen = redis.call('ZSCORE', SEEN, peer)
    if
        redis.call('HGET', MEMBERS, peer) == ARGV[i + 1]
        and (redis.call('HGET', EVIDENCE, peer) or '') == ARGV[i + 2]
        and seen and tonumber(seen) == tonumber(ARGV[i + 3])
    then
        redis.call('HDEL', MEMBERS, peer)
        redis.call('HDEL', EVIDENCE, peer)
        redis.call('ZREM', RANKING, peer)
        redis.call('ZREM', SEEN, peer)
        news = true
    end
end
if news then changed() end
return {shards()}
