-- Replaces an object's epochs unless somebody else has meanwhile. KEYS: epochs. ARGV: what they were ("" = none), what they become.
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
