-- Raises the owner epoch and returns the cursor; nothing where there is none. An epoch that is no number is left as it is, for
-- the caller to find. KEYS: cursor. ARGV: the least old epoch.
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then return false end
local number = tonumber(epoch)
if number then
  redis.call('HSET', KEYS[1], 'epoch', string.format('%.0f', math.max(number, tonumber(ARGV[1])) + 1))
end
return redis.call('HMGET', KEYS[1], 'log', 'seq', 'index', 'epoch', 'state')
