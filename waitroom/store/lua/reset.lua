-- A new run of the room: tickets of the old one are no longer valid, people inside stay.
-- KEYS  state, log, door, asked, then claims keys of the old generation
-- ARGV  generation, the new one, who, how long claims are kept (ms)
-- Reply ok · 'unsettled' right after an adoption
local r, refusal = open_room(ARGV[1])
if not r then return refusal end
if is_recent(r.adopted) then return {'unsettled'} end
new_generation(r, ARGV[2], ARGV[4])
-- The draw was among people whose numbers are void now; whoever comes is served in order of arrival.
if tonumber(redis.call('HGET', STATE, 'drawn_at') or 0) > 0 then redis.call('HSET', STATE, 'lobby_size', 0) end
if r.phase == 'lobby' or r.phase == 'drawn' then redis.call('HSET', STATE, 'due', 1) end
redis.call('HSET', STATE, 'draw_commitment', '')
sale_changed(true)
write_log(KEYS[2], 'room_reset', 'by', ARGV[3], 'generation', ARGV[2])
return {'ok'}
