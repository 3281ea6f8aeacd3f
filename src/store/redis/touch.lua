-- Signs of life. ARGV: peer and time, for each. Returns which of them are no members here.
local strangers, news, members = {}, false, false
for i = 6, #ARGV, 2 do
    local record = stored(ARGV[i])
    if is_member(record) then
        members = true
        if sign_of_life(ARGV[i], record, ARGV[i + 1]) then news = true end
    else
        strangers[#strangers + 1] = (i - 6) / 2
    end
end
if news then changed() elseif members then renew() end
return {shards(), strangers}
