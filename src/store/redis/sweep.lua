-- Forgets who stayed silent or away, then unlists who fell silent. Looks at every one again, so two that run it do no
-- harm; and lets keys die when they will. ARGV: since when a sign of life was still one at the last sweep, since when
-- peers are remembered, how many that fell silent to leave out, how many at most.
-- Returns how many were forgotten, and who fell silent; as many as at most: there may be more.
local low, skip, most = ARGV[6], ARGV[8], tonumber(ARGV[9])
local news = false

local gone = redis.call('ZRANGEBYSCORE', SEEN, '(-' .. ARGV[7], '(' .. ARGV[7], 'LIMIT', 0, most)
if #gone > 0 then
    redis.call('HDEL', MEMBERS, unpack(gone))
    redis.call('HDEL', EVIDENCE, unpack(gone))
    redis.call('ZREM', RANKING, unpack(gone))
    redis.call('ZREM', SEEN, unpack(gone))
    news = true
end

local silent = {}
if #gone < most then
    silent = redis.call('ZRANGEBYSCORE', SEEN, low, '(' .. ARGV[2], 'LIMIT', skip, most)
    if #silent > 0 and redis.call('ZREM', RANKING, unpack(silent)) > 0 then news = true end
end
-- Not where there is none: it would never end.
if news and redis.call('EXISTS', VERSION) == 1 then redis.call('INCR', VERSION) end
return {shards(), #gone, silent}
