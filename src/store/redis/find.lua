-- A sign of life of a peer, which then finds others. ARGV: peer, sample.
local peer, sample = ARGV[6], tonumber(ARGV[7])
local record, joined = stored(peer), 0
if is_member(record) then
    joined = 1
    if sign_of_life(peer, record, NOW) then changed() else renew() end
end
local size, found = look(sample)
return {shards(), size, joined, found}
