-- A new run of the room: tickets of the old one are no longer valid, people inside stay.
-- KEYS  state, log, door, asked, then claims keys of the old generation
-- ARGV  generation, the new one, who, how long claims are kept (ms)
-- Reply ok
local r, refusal = open_room(ARGV[1])
if not r then return refusal end
redis.call('HINCRBY', STATE, 'ordinal', 1)
redis.call('HSET', STATE, 'generation', ARGV[2], 'issued', 0, 'front', 0, 'lapsed', 0, 'soon', 0, 'holes', '', 'hole', 0,
  'hole_end', 0, 'released', whole(now_ms), 'table_version', '')
redis.call('DEL', KEYS[3], KEYS[4])
for i = 5, #KEYS do redis.call('PEXPIRE', KEYS[i], ARGV[4]) end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', '1000', '*', 'event', 'room_reset', 'by', ARGV[3], 'generation', ARGV[2])
return {'ok'}
