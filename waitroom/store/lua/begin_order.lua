-- Begin an attempt at an order, unless the visitor made the same one before: then that one is answered, nothing written.
-- KEYS  state (unused), the visitor's orders, the ids under way, then the ids of every other outcome
-- ARGV  '', id, record, how long orders are kept (ms), the most of a visitor, the lowest id kept, the id after which
--       this one may come ('' none), whether only by the visitor's word (1/0), then digests: the first is noted
-- Reply ok; or found, the record, whether the visitor said that it may be sent again (1/0)
local orders, id, keep, after = KEYS[2], ARGV[2], ARGV[4], ARGV[7]
if redis.call('HEXISTS', orders, id) == 1 then return {'ok'} end -- its answer was lost

local latest = ''
for i = 9, #ARGV do
  local one = redis.call('HGET', orders, '=' .. ARGV[i])
  if one and one > latest then latest = one end
end
local found = latest ~= '' and redis.call('HGET', orders, latest)
if found then
  local word = tonumber(redis.call('HGET', orders, '!' .. latest) or '0') > now_ms
  if latest ~= after or (ARGV[8] == '1' and not word) then return {'found', found, word and 1 or 0} end
  redis.call('HDEL', orders, '!' .. latest) -- the word counts once
  for i = 9, #ARGV do redis.call('HDEL', orders, '=' .. ARGV[i]) end
end

redis.call('HSET', orders, id, ARGV[3])
if ARGV[9] then redis.call('HSET', orders, '=' .. ARGV[9], id) end
redis.call('PEXPIRE', orders, keep)
redis.call('ZADD', KEYS[3], 0, id)
redis.call('PEXPIRE', KEYS[3], keep)

-- An id begins with its time, so the lowest are the oldest.
local ids = {}
for _, field in ipairs(redis.call('HKEYS', orders)) do
  if string.find(field, '^%x') then ids[#ids + 1] = field end
end
table.sort(ids)
for i, old in ipairs(ids) do
  if i <= #ids - tonumber(ARGV[5]) or old < ARGV[6] then
    local same = '=' .. cjson.decode(redis.call('HGET', orders, old)).sameness
    if redis.call('HGET', orders, same) == old then redis.call('HDEL', orders, same) end
    redis.call('HDEL', orders, old, '!' .. old)
    for k = 3, #KEYS do redis.call('ZREM', KEYS[k], old) end
  end
end
for k = 3, #KEYS do redis.call('ZREMRANGEBYLEX', KEYS[k], '-', '(' .. ARGV[6]) end
return {'ok'}
