-- Applies rows of one object, each guarded by its version, if the caller still owns the slice.
-- KEYS: cursor, guard, gone, then one key for each row.
-- ARGV: owner epoch, "string" or "hash", lifetime of rows and of tombstones in milliseconds (0 = for ever), then for each
-- row its version in 19 digits and the number n of arguments that follow: the document, or fields and values; -1 = delete.
-- Returns one letter for each row: a applied, s stale, w a key of another type that is not ours.
--
-- The guard holds, for each row key, a state letter and the version: v alive, e alive until it expires, d deleted. Its field
-- "" is the version of the last truncate. The set "gone" says from when entries of the guard are no longer needed.
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then return redis.error_reply('SYNCLINECURSORLOST') end
if epoch ~= ARGV[1] then return redis.error_reply('SYNCLINEFENCED') end

local guard, gone, kind = KEYS[2], KEYS[3], ARGV[2]
local ttl, keep = tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local due = redis.call('ZRANGEBYSCORE', gone, '-inf', now, 'LIMIT', 0, 2 * #KEYS)
for _, key in ipairs(due) do
	redis.call('HDEL', guard, key)
	redis.call('ZREM', gone, key)
end

local floor = redis.call('HGET', guard, '') or ''
local out, at = {}, 5
for i = 4, #KEYS do
	local key, version, n = KEYS[i], ARGV[at], tonumber(ARGV[at + 1])
	local first = at + 2
	at = first + math.max(n, 0)
	local entry = redis.call('HGET', guard, key)
	local state = entry and string.sub(entry, 1, 1)
	local result = 'a'
	if version < floor or entry and string.sub(entry, 2) > version then
		result = 's'
	elseif not entry or state == 'd' then
		local type = redis.call('TYPE', key)['ok']
		if type ~= 'none' and type ~= kind then result = 'w' end
	end
	if result == 'a' and n < 0 then
		redis.call('DEL', key)
		redis.call('HSET', guard, key, 'd' .. version)
		redis.call('ZADD', gone, now + keep, key)
	elseif result == 'a' then
		if kind == 'hash' then
			redis.call('DEL', key)
			for j = first, at - 1, 1000 do
				redis.call('HSET', key, unpack(ARGV, j, math.min(j + 999, at - 1)))
			end
			if ttl > 0 then redis.call('PEXPIRE', key, ttl) end
		elseif ttl > 0 then
			redis.call('SET', key, ARGV[first], 'PX', ttl)
		else
			redis.call('SET', key, ARGV[first])
		end
		if ttl > 0 then
			redis.call('HSET', guard, key, 'e' .. version)
			redis.call('ZADD', gone, now + ttl + keep, key)
		else
			redis.call('HSET', guard, key, 'v' .. version)
			if state == 'd' or state == 'e' then redis.call('ZREM', gone, key) end
		end
	end
	out[#out + 1] = result
end
return table.concat(out)
