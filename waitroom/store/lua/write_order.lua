-- Write what is known of an attempt, if nobody wrote anything else since it was read.
-- KEYS  state (unused), the visitor's orders, the ids of the outcome before, the ids of the outcome now
-- ARGV  '', id, the record as it was read ('' none), the record now, how long orders are kept (ms), digest ('' none)
-- Reply ok; or changed, the record ('' none)
local orders, id, before, now = KEYS[2], ARGV[2], ARGV[3], ARGV[4]
local there = redis.call('HGET', orders, id) or ''
if there ~= now then
  if there ~= before then return {'changed', there} end
  redis.call('HSET', orders, id, now)
end
if there == '' and ARGV[6] ~= '' and (redis.call('HGET', orders, '=' .. ARGV[6]) or '') < id then
  redis.call('HSET', orders, '=' .. ARGV[6], id) -- it was begun while Redis was away, or lost since
end
redis.call('PEXPIRE', orders, ARGV[5])
redis.call('ZREM', KEYS[3], id)
redis.call('ZADD', KEYS[4], 0, id)
redis.call('PEXPIRE', KEYS[4], ARGV[5])
return {'ok'}
