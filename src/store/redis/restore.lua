-- Puts peers back (those that left, too, when they are moved), each unless it said something or left later.
-- ARGV: peer, record, evidence or nothing, seen, for each.
local news = false
for i = 6, #ARGV, 4 do
    local peer, record, evidence, at = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
    local old = stored(peer)
    if not old or said(old) < said(record) then
        if is_member(old) and not left(record) then
            record = string.sub(record, 1, 8) .. string.sub(old, 9, 14) .. string.sub(record, 15)
        end
        redis.call('HSET', MEMBERS, peer, record)
        if left(record) then
            redis.call('ZADD', SEEN, at, peer)
        else
            redis.call('ZADD', SEEN, 'GT', at, peer)
        end
    elseif is_member(old) and not left(record) then
        record = old
        redis.call('ZADD', SEEN, 'GT', at, peer)
    else
        record = nil
    end
    if record then
        news = true
        if evidence ~= '' then redis.call('HSETNX', EVIDENCE, peer, evidence) end
        if not offered(record) then
            redis.call('ZREM', RANKING, peer)
        elseif tonumber(redis.call('ZSCORE', SEEN, peer)) >= ALIVE then
            list(peer)
        end
    end
end
if news then changed() end
return {shards()}
