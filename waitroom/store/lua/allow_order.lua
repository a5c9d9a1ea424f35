-- Note the visitor's word that an order may be sent again after this attempt. It counts once.
-- KEYS  state (unused), the visitor's orders
-- ARGV  '', id of the attempt, how long the word counts (ms)
-- Reply ok, or gone where there is no such attempt
if redis.call('HEXISTS', KEYS[2], ARGV[2]) == 0 then return {'gone'} end
redis.call('HSET', KEYS[2], '!' .. ARGV[2], whole(now_ms + tonumber(ARGV[3])))
return {'ok'}
