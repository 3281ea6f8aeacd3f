-- What every script begins with. KEYS are those of one shard, all in one slot; the sixth and the seventh only of shard 0,
-- and the seventh is here to live as long as the others. A script touches at most 500 members. Numbers larger than 2^53 (versions) stay text.
local MEMBERS, RANKING, EVIDENCE, SEEN, VERSION, SHARDS = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
-- ARGV: now, since when a sign of life counts, the lifetime of keys, a first version, a newcomer's score; then its own.
local NOW, ALIVE, REMEMBER, FIRST, NEW = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]

-- A time in a record: six bytes from here on. Not compared as text, which depends on the server's locale.
local function time(record, from)
    local a, b, c, d, e, f = string.byte(record, from, from + 5)
    return ((((a * 256 + b) * 256 + c) * 256 + d) * 256 + e) * 256 + f
end

local function said(record) return time(record, 3) end

local function with_said(record, at)
    local bytes = ''
    for _ = 1, 6 do
        bytes = string.char(at % 256) .. bytes
        at = math.floor(at / 256)
    end
    return string.sub(record, 1, 2) .. bytes .. string.sub(record, 9)
end

-- The record of a peer; nil where there is none, or one of a layout that we do not know.
local function stored(peer)
    local record = redis.call('HGET', MEMBERS, peer)
    if record and #record >= 8 and string.byte(record) == 2 then return record end
    return nil
end

local function left(record) return bit.band(string.byte(record, 2), 1) == 1 end

local UNLISTED = 8

-- Whether it uploads, does not rest, and was seen since it was last taken out of the ranking.
local function offered(record) return bit.band(string.byte(record, 2), 15) == 2 end

local function with_flags(record, flags) return string.sub(record, 1, 1) .. string.char(flags) .. string.sub(record, 3) end

local TRIED, NAT = 128, 112

-- As `record`, but joined when `old` did, tried where `old` was, and with what came of its attempts, if its NAT is the same:
-- who joins again joined when it joined first, and knows nothing of what others have said.
local function with_joined_of(record, old)
    local flags, before = string.byte(record, 2), string.byte(old, 2)
    local reach = bit.band(flags, NAT) == bit.band(before, NAT) and old or record
    record = with_flags(record, bit.bor(flags, bit.band(before, TRIED)))
    return string.sub(record, 1, 8) .. string.sub(old, 9, 14) .. string.sub(record, 15, 17)
        .. string.sub(reach, 18, 19) .. string.sub(record, 20)
end

local function is_member(record) return record and not left(record) end

-- Puts a peer into the ranking, unless it is there, at the score that its evidence has.
local function list(peer)
    local evidence, score = redis.call('HGET', EVIDENCE, peer), NEW
    if evidence and #evidence >= 5 and string.byte(evidence) == 2 then
        score = string.byte(evidence, 4) * 256 + string.byte(evidence, 5)
    end
    redis.call('ZADD', RANKING, 'NX', score, peer)
end

-- Notes a sign of life; says whether it was news. Who was silent or not listed is listed again.
local function sign_of_life(peer, record, at)
    if redis.call('ZADD', SEEN, 'GT', 'CH', at, peer) == 0 then return false end
    local flags = string.byte(record, 2)
    if bit.band(flags, UNLISTED) ~= 0 then
        record = with_flags(record, flags - UNLISTED)
        redis.call('HSET', MEMBERS, peer, record)
    end
    if tonumber(at) >= ALIVE and offered(record) then list(peer) end
    return true
end

-- Every key lives so long from now on.
local function renew()
    for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, REMEMBER) end
end

local function changed()
    redis.call('SET', VERSION, FIRST, 'NX')
    redis.call('INCR', VERSION)
    renew()
end

-- How many shards the swarm has; 0 where this shard does not know.
local function shards()
    if not SHARDS then return 0 end
    return tonumber(redis.call('GET', SHARDS) or 1)
end

-- Live ones of these peers that are in the ranking, as peer, score, seen and record, flat.
local function live(drawn)
    local found, peers, scores = {}, {}, {}
    for i = 1, #drawn, 2 do
        peers[#peers + 1] = drawn[i]
        scores[#scores + 1] = drawn[i + 1]
    end
    -- Lua takes no more than some thousand arguments.
    for first = 1, #peers, 500 do
        local last = math.min(first + 499, #peers)
        local records = redis.call('HMGET', MEMBERS, unpack(peers, first, last))
        local seen = redis.call('ZMSCORE', SEEN, unpack(peers, first, last))
        for i = first, last do
            local at, record = seen[i - first + 1], records[i - first + 1]
            if record and at and tonumber(at) >= ALIVE then
                found[#found + 1] = peers[i]
                found[#found + 1] = scores[i]
                found[#found + 1] = at
                found[#found + 1] = record
            end
        end
    end
    return found
end

-- What a list is made of: how many are alive, and a uniform sample of who may be offered. The sample is larger where
-- many in the ranking are silent and not swept yet.
local function look(sample)
    local size = redis.call('ZCOUNT', SEEN, ALIVE, '+inf')
    if sample == 0 then return size, {} end
    local found = live(redis.call('ZRANDMEMBER', RANKING, sample, 'WITHSCORES'))
    if #found < sample * 4 and redis.call('ZCARD', RANKING) > sample then
        found = live(redis.call('ZRANDMEMBER', RANKING, 500, 'WITHSCORES'))
    end
    return size, found
end
