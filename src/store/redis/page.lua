-- Some of the members of a shard that is too large to be read at once. ARGV: where to go on.
-- Returns where to go on after that, and peer, score or nothing, seen and record, flat.
local page = redis.call('HSCAN', MEMBERS, ARGV[6], 'COUNT', 250)
local peers, found = {}, {}
for i = 1, #page[2], 2 do peers[#peers + 1] = page[2][i] end
if #peers > 0 then
    local scores = redis.call('ZMSCORE', RANKING, unpack(peers))
    local seen = redis.call('ZMSCORE', SEEN, unpack(peers))
    for i, peer in ipairs(peers) do
        found[#found + 1] = peer
        found[#found + 1] = scores[i] or ''
        found[#found + 1] = seen[i] or '0'
        found[#found + 1] = page[2][i * 2]
    end
end
return {page[1], found}
