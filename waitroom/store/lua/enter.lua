-- New visitors of one worker: numbers for them, and for the first of them, with room, an admission on the spot.
-- KEYS  state, reply, active, door, minute, ghosts, then (claims, claimed) of chunk A and of A + 1
-- ARGV  generation, A, provisional seat (ms), how many visitors, and in one text (each argument costs the client)
--       a line for each: id, a blank, flags (n = may take a number, s = may come on the spot)
-- Reply ok, first number, created (s), then per visitor: '' refused, 'w' waits, or admit_at (µs). Numbers run on over
--       those not refused. Nothing was written where it is 'due' (a change of phase has to be latched first), or 'stale'
--       with issued (the chunks given do not hold the numbers).
local r, refusal = open_room(ARGV[1])
if not r then return refusal end
local kept = answered(KEYS[2])
if kept then return kept end
if is_due(r) then return {'due'} end

local first_chunk, seat_ms = tonumber(ARGV[2]), tonumber(ARGV[3])
local visitors = tonumber(ARGV[4])
if math.floor(r.issued / 65536) < first_chunk or math.floor((r.issued + visitors - 1) / 65536) > first_chunk + 1 then
  return {'stale', whole(r.issued)}
end

local expected = r.soon > 0 and now_ms - r.soon_at < 3000
local numbers, spots = gives_numbers(r), 0
if r.front >= r.issued and numbers and admits(r) and not expected and redis.call('ZCARD', KEYS[4]) == 0 then
  spots = math.min(grantable(r), seats_free(r, KEYS[3], KEYS[6]))
end

local reply, waiting = {'ok', whole(r.issued), whole(r.created)}, 0
for visitor, flags in string.gmatch(ARGV[5], '(%S+) (%a*)\n') do
  if spots > 0 and string.find(flags, 's', 1, true) then
    local pair = 7 + 2 * (math.floor(r.issued / 65536) - first_chunk)
    reply[#reply + 1] = micros(admit(r, r.issued, visitor, seat_ms, KEYS[3], KEYS[pair], KEYS[pair + 1]))
    r.issued = r.issued + 1
    r.front = r.issued
    spots = spots - 1
  elseif numbers and string.find(flags, 'n', 1, true) then
    reply[#reply + 1] = 'w'
    r.issued = r.issued + 1
    waiting, spots = waiting + 1, 0
  else
    reply[#reply + 1] = ''
  end
end
save(r)
count(KEYS[5], 'waited', waiting)
if r.admitted > 0 then redis.call('HINCRBY', STATE, 'on_the_spot', r.admitted) end
count(KEYS[5], 'on_the_spot', r.admitted)
return answer(KEYS[2], reply)
