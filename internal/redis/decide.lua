-- Carries out decisions about rows of one object, each only if record and shadow are still what it was made on, and if the caller
-- still owns the slice.
-- KEYS: cursor, guard, gone, shadow, then one key for each row.
-- ARGV: owner epoch, "string" or "hash", lifetime of rows and of tombstones in milliseconds (0 = for ever), then for each row:
-- its version in 19 digits; the number of arguments that say what was read (the document, or fields and values; -1 = no record) and
-- those; the shadow that was read ("" = none, else s and its bytes); the number of arguments of the new record (-1 = delete,
-- -2 = as it is) and those; the new shadow.
-- Returns one letter for each row: a done, m somebody else changed it.
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then return redis.error_reply('SYNCLINECURSORLOST') end
if epoch ~= ARGV[1] then return redis.error_reply('SYNCLINEFENCED') end

local guard, gone, shadows, kind = KEYS[2], KEYS[3], KEYS[4], ARGV[2]
local ttl, keep = tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local due = redis.call('ZRANGEBYSCORE', gone, '-inf', now, 'LIMIT', 0, 2 * #KEYS)
for _, key in ipairs(due) do
	redis.call('HDEL', guard, key)
	redis.call('HDEL', shadows, key)
	redis.call('ZREM', gone, key)
end

local function unchanged(key, first, n)
	if n < 0 then return redis.call('EXISTS', key) == 0 end
	if redis.call('TYPE', key)['ok'] ~= kind then return false end
	if kind ~= 'hash' then return redis.call('GET', key) == ARGV[first] end
	if redis.call('HLEN', key) * 2 ~= n then return false end
	for j = first, first + n - 1, 2 do
		if redis.call('HGET', key, ARGV[j]) ~= ARGV[j + 1] then return false end
	end
	return true
end

local out, at = {}, 5
for i = 5, #KEYS do
	local key, version, was = KEYS[i], ARGV[at], tonumber(ARGV[at + 1])
	local first = at + 2
	at = first + math.max(was, 0)
	local shadow, n = ARGV[at], tonumber(ARGV[at + 1])
	local from = at + 2
	at = from + math.max(n, 0)
	local kept = ARGV[at]
	at = at + 1
	local there = redis.call('HGET', shadows, key)
	local result = 'm'
	if (there and 's' .. there or '') == shadow and unchanged(key, first, was) then
		result = 'a'
		local entry = redis.call('HGET', guard, key)
		if entry and string.sub(entry, 2) > version then version = string.sub(entry, 2) end
		if n == -1 then
			redis.call('DEL', key)
			redis.call('HSET', guard, key, 'd' .. version)
			redis.call('ZADD', gone, now + keep, key)
		elseif n >= 0 then
			if kind == 'hash' then
				redis.call('DEL', key)
				for j = from, from + n - 1, 1000 do
					redis.call('HSET', key, unpack(ARGV, j, math.min(j + 999, from + n - 1)))
				end
				if ttl > 0 then redis.call('PEXPIRE', key, ttl) end
			elseif ttl > 0 then
				redis.call('SET', key, ARGV[from], 'PX', ttl)
			else
				redis.call('SET', key, ARGV[from])
			end
			if ttl > 0 then
				redis.call('HSET', guard, key, 'e' .. version)
				redis.call('ZADD', gone, now + ttl + keep, key)
			else
				redis.call('HSET', guard, key, 'v' .. version)
				redis.call('ZREM', gone, key)
			end
		end
		if kept == '' then redis.call('HDEL', shadows, key) else redis.call('HSET', shadows, key, string.sub(kept, 2)) end
	end
	out[#out + 1] = result
end
return table.concat(out)
