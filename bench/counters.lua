local requested = tonumber(ARGV[1])
for i = 1, #KEYS do
	local budget = redis.call('HMGET', KEYS[i], 'limit', 'used')
	if tonumber(budget[2]) + requested > tonumber(budget[1]) then
		return 0
	end
end
for i = 1, #KEYS do
	redis.call('HINCRBY', KEYS[i], 'used', requested)
end
return 1
