-- Adds what came of attempts to an hour's counts. KEYS: those of kinds of NAT, those of networks. ARGV: how many pairs of
-- networks there may be; then which of the keys, the pair, opened and failed in hundredths, for each.
local most = tonumber(ARGV[6])
for i = 7, #ARGV, 4 do
    local key, opened, failed = KEYS[tonumber(ARGV[i])], ARGV[i + 1] .. ',o', ARGV[i + 1] .. ',f'
    if key == KEYS[1] or redis.call('HLEN', key) < 2 * most or redis.call('HGET', key, opened) then
        redis.call('HINCRBY', key, opened, ARGV[i + 2])
        redis.call('HINCRBY', key, failed, ARGV[i + 3])
    end
end
renew()
return {}
