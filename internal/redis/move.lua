-- Moves the cursor, if the caller still owns the slice. KEYS: cursor. ARGV: owner epoch, log, sequence, index.
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then return redis.error_reply('SYNCLINECURSORLOST') end
if epoch ~= ARGV[1] then return redis.error_reply('SYNCLINEFENCED') end
redis.call('HSET', KEYS[1], 'log', ARGV[2], 'seq', ARGV[3], 'index', ARGV[4])
return 'ok'
