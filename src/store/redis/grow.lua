-- Sets the number of shards, unless it is as large already. ARGV: that number.
if shards() < tonumber(ARGV[6]) then
    redis.call('SET', SHARDS, ARGV[6])
    changed()
end
return {shards()}
