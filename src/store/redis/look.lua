-- What other shards have for a list. ARGV: sample.
local size, found = look(tonumber(ARGV[6]))
return {shards(), size, 0, found}
