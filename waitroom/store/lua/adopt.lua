-- Take over a Redis that restarted, failed over or came back empty: the maximum of what it has and what the caller
-- remembers. The first caller makes room for numbers nobody remembers; later ones merge and change nothing else.
-- Seats that the caller granted since its last sync are in no memory but its own: each caller puts its own back.
-- KEYS  state, active, log, ghosts
-- ARGV  '', seats remembered, session_idle (ms), how many seats granted since, then per seat: member of active, its
--       end (ms); then fields and values of the state remembered (may be none)
-- Reply 'ok' · 'nothing': no state here and none remembered
local kept, mine, flat, fields = {}, {}, redis.call('HGETALL', STATE), 5 + 2 * tonumber(ARGV[4])
for i = 1, #flat, 2 do kept[flat[i]] = flat[i + 1] end
for i = fields, #ARGV, 2 do mine[ARGV[i]] = ARGV[i + 1] end
if not kept.generation and not mine.generation then return {'nothing'} end
local id = server_id()
local first = kept.server ~= id
local forgotten = math.huge
if kept.created and kept.created == mine.created then
  forgotten = math.max(0, tonumber(mine.admitted) - tonumber(kept.admitted))
end
-- The higher ordinal wins; of two rooms of one ordinal, the one that Redis still has.
if not kept.generation or tonumber(mine.ordinal or 0) > tonumber(kept.ordinal) then
  first = true
  for field, value in pairs(mine) do put(kept, field, value) end
elseif mine.generation == kept.generation then
  merge(kept, mine, first)
end

local seats = redis.call('ZCOUNT', KEYS[2], now_ms, '+inf')
for i = 5, fields - 2, 2 do keep_seat(KEYS[2], ARGV[i], ARGV[i + 1]) end
-- A seat remembered and not there was forgotten, or given back: no more were forgotten than admissions were.
local known_ghosts = ghost_seats(KEYS[4])
local ghosts = math.min(tonumber(ARGV[2]) - seats, known_ghosts + forgotten)
if first then
  redis.call('HSET', KEYS[4], 'seats', whole(math.max(ghosts, known_ghosts)), 'until', whole(now_ms + tonumber(ARGV[3])))
  redis.call('PEXPIRE', KEYS[4], ARGV[3])
elseif ghosts > known_ghosts and redis.call('EXISTS', KEYS[4]) == 1 then
  redis.call('HSET', KEYS[4], 'seats', whole(ghosts)) -- nor is the first caller's count of seats the best one
end
if not first then return {'ok'} end

local now = (CLOCK[1] - tonumber(kept.created)) * 1e6 + CLOCK[2]
local issued = tonumber(kept.issued)
-- The distance differs from server to server: two adoptions from one memory, the first of them lost, hardly meet.
local above = (math.floor(issued / 65536) + 3 + tonumber(string.sub(id, 1, 4), 16) % 16) * 65536
-- Earlier holes that the front has not passed are still nobody.
local holes = ''
for from, to in string.gmatch(kept.holes .. kept.hole .. '-' .. kept.hole_end, '(%d+)-(%d+)') do
  if tonumber(to) > tonumber(kept.front) then holes = holes .. from .. '-' .. to .. ' ' end
end
local spent = tonumber(kept.burst) * 1e6 / tonumber(kept.rate)
redis.call('HSET', STATE, 'server', id, 'holes', holes, 'hole', whole(issued), 'hole_end', whole(above),
  'issued', whole(above), 'last', micros(now + HORIZON), 'next_at', micros(now + HORIZON + spent),
  'gap', whole(now_ms), 'adopted', whole(now_ms), 'released', whole(now_ms))
write_log(KEYS[3], 'store_adopted', 'issued', whole(above))
return {'ok'}
