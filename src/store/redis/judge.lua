-- Stores judgements, each unless the member or its evidence changed since it was read. ARGV: peer, what `said` was,
-- what the revision was, record, evidence, score, whether it is to be unlisted, for each. Returns which of them are no
-- members here, and which were changed.
local strangers, losers, news = {}, {}, false
for i = 6, #ARGV, 7 do
    local peer, record, evidence = ARGV[i], ARGV[i + 3], ARGV[i + 4]
    local old = stored(peer)
    if not is_member(old) then
        strangers[#strangers + 1] = (i - 6) / 7
    else
        local before, revision = redis.call('HGET', EVIDENCE, peer), 0
        if before and #before >= 3 and string.byte(before) == 2 then
            revision = string.byte(before, 2) * 256 + string.byte(before, 3)
        end
        if said(old) ~= tonumber(ARGV[i + 1]) or revision ~= tonumber(ARGV[i + 2]) then
            losers[#losers + 1] = (i - 6) / 7
        else
            news = true
            -- Once unlisted it stays so, until its next sign of life.
            if ARGV[i + 6] == '1' or bit.band(string.byte(old, 2), UNLISTED) ~= 0 then
                record = with_flags(record, string.byte(record, 2) + UNLISTED)
            end
            redis.call('HSET', MEMBERS, peer, record)
            redis.call('HSET', EVIDENCE, peer, evidence)
            local seen = tonumber(redis.call('ZSCORE', SEEN, peer) or 0)
            if offered(record) and seen >= ALIVE then
                redis.call('ZADD', RANKING, ARGV[i + 5], peer)
            else
                redis.call('ZREM', RANKING, peer)
            end
        end
    end
end
if news then changed() end
return {shards(), strangers, losers}
