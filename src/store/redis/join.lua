-- A peer joins, or says again what it is; then finds others. ARGV: peer, sample, record.
local peer, sample, record = ARGV[6], tonumber(ARGV[7]), ARGV[8]
local old = stored(peer)
if is_member(old) then
    record = with_joined_of(record, old)
elseif old and said(record) <= said(old) then
    -- Two nodes' clocks differ: it came back after it left.
    record = with_said(record, said(old) + 1)
end
redis.call('HSET', MEMBERS, peer, record)
redis.call('ZADD', SEEN, 'GT', NOW, peer)
if not offered(record) then
    redis.call('ZREM', RANKING, peer)
else
    list(peer)
end
changed()
local size, found = look(sample)
return {shards(), size, 1, found}
