-- Raises the owner epoch and returns the cursor; nothing where there is none. KEYS: cursor. ARGV: the least old epoch.
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then return false end
redis.call('HSET', KEYS[1], 'epoch', string.format('%.0f', math.max(tonumber(epoch), tonumber(ARGV[1])) + 1))
return redis.call('HMGET', KEYS[1], 'log', 'seq', 'index', 'epoch', 'state')
