-- A peer leaves. What stays is when it did, so that nobody puts it back. ARGV: peer, record.
local peer, record = ARGV[6], ARGV[7]
local old = stored(peer)
if not is_member(old) then return {shards(), 0} end
-- Two nodes' clocks differ: whatever it said, it left later.
local at = NOW
if said(old) >= at then
    at = said(old) + 1
    record = with_said(record, at)
end
redis.call('HSET', MEMBERS, peer, record)
redis.call('ZREM', RANKING, peer)
redis.call('ZADD', SEEN, -at, peer)
changed()
return {shards(), 1}
