-- Puts peers back (those that left, too, when they are moved), each unless it said something or left later.
-- ARGV: peer, record, evidence or nothing, seen, for each.
local news = false
for i = 6, #ARGV, 4 do
    local peer, record, evidence, at = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
    local old = stored(peer)
    -- Of two that say the same time, one that is a member stands.
    if not old or said(old) < said(record) or left(old) and not left(record) and said(old) == said(record) then
        news = true
        if is_member(old) and not left(record) then record = with_joined_of(record, old) end
        redis.call('HSET', MEMBERS, peer, record)
        if evidence ~= '' then redis.call('HSETNX', EVIDENCE, peer, evidence) end
        if left(record) then
            redis.call('ZADD', SEEN, at, peer)
        else
            redis.call('ZADD', SEEN, 'GT', at, peer)
        end
        if not offered(record) then
            redis.call('ZREM', RANKING, peer)
        elseif tonumber(redis.call('ZSCORE', SEEN, peer)) >= ALIVE then
            list(peer)
        end
    elseif is_member(old) and not left(record) then
        -- Nothing new but a sign of life, or what others said.
        if sign_of_life(peer, old, at) then news = true end
        if evidence ~= '' and redis.call('HSETNX', EVIDENCE, peer, evidence) == 1 then
            news = true
            if redis.call('ZREM', RANKING, peer) == 1 then list(peer) end
        end
    end
end
if news then changed() end
return {shards()}
