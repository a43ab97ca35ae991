-- Removes rows of one object that are not newer than a truncate, if the caller still owns the slice.
-- KEYS: cursor, guard, gone, then the rows. ARGV: owner epoch, version of the truncate in 19 digits, "floor" to set one.
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then return redis.error_reply('SYNCLINECURSORLOST') end
if epoch ~= ARGV[1] then return redis.error_reply('SYNCLINEFENCED') end

-- With a floor nothing older than the truncate is written from now on, so that its rows need no tombstones.
local floor = redis.call('HGET', KEYS[2], '') or ''
if ARGV[3] == 'floor' and floor < ARGV[2] then redis.call('HSET', KEYS[2], '', ARGV[2]) end
for i = 4, #KEYS do
	local entry = redis.call('HGET', KEYS[2], KEYS[i])
	if entry and string.sub(entry, 2) <= ARGV[2] then
		if string.sub(entry, 1, 1) ~= 'd' then redis.call('DEL', KEYS[i]) end
		redis.call('HDEL', KEYS[2], KEYS[i])
		redis.call('ZREM', KEYS[3], KEYS[i])
	end
end
return 'ok'
