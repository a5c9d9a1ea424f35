-- What the holder of the lease looks at: who was seen in the last epochs, who has claimed, who stands at the door.
-- KEYS  state, door, scratch, then per chunk: its claimed bits, its beats (as many as epochs)
-- ARGV  generation, epochs, lowest place whose standing at the door matters
-- Reply ok, places at the door from there on, then per chunk: seen bits, claimed bits (strings, little-endian)
local r, refusal = open_room(ARGV[1])
if not r then return refusal end
local epochs = tonumber(ARGV[2])

local reply = {'ok', redis.call('ZRANGEBYSCORE', KEYS[2], ARGV[3], '+inf', 'LIMIT', 0, 5000)}
for first = 4, #KEYS, epochs + 1 do
  local beats = {}
  for i = first + 1, first + epochs do beats[#beats + 1] = KEYS[i] end
  redis.call('BITOP', 'OR', KEYS[3], unpack(beats))
  reply[#reply + 1] = redis.call('GET', KEYS[3]) or ''
  reply[#reply + 1] = redis.call('GET', KEYS[first]) or ''
end
redis.call('DEL', KEYS[3])
return reply
