-- Take a place to another device: once for a link, and so often for a place.
-- KEYS  state, moved (of the link), moves (of the place)
-- ARGV  generation, who takes it, how long the link is remembered (ms), the life of a ticket (ms), the most moves
-- Reply ok, 1 taken (also told again to who took it) or 0 refused
local r, refusal = open_room(ARGV[1])
if not r then return refusal end
local taker = redis.call('GET', KEYS[2])
if taker then return {'ok', taker == ARGV[2] and 1 or 0} end
local moves = tonumber(redis.call('GET', KEYS[3]) or '0')
if moves >= tonumber(ARGV[5]) then return {'ok', 0} end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('SET', KEYS[3], moves + 1, 'PX', ARGV[4])
return {'ok', 1}
