-- Change limits, hold or message, of both lines of a room at once; a new rate converts the meter. Reservations made stand.
-- KEYS  state, log, then the state of the line of the invited (may not be there)
-- ARGV  generation, who, digest of the environment ('' = a live change; else nothing happens if it is already in force),
--       how many fields are for the first state, then fields and values: rate (per s), burst, unlimited, hold,
--       max_active, message; then those for the other one
-- Reply ok, 1 if anything was changed, then the fields and values before · 'unsettled' right after an adoption
local r, refusal = open_room(ARGV[1])
if not r then return refusal end
if is_recent(r.adopted) then return {'unsettled'} end
local reply, split = {'ok', 1}, redis.call('HGET', STATE, 'split') or ''
for _, text in ipairs(redis.call('HGETALL', STATE)) do reply[#reply + 1] = text end
if ARGV[3] ~= '' then
  if redis.call('HGET', STATE, 'digest') == ARGV[3] then reply[2] = 0; return reply end
  redis.call('HSET', STATE, 'digest', ARGV[3])
end

local others = 5 + 2 * tonumber(ARGV[4])
local lines, said, ahead = {{state = STATE, old = r, first = 5, last = others - 1}}, {}, 0
if KEYS[3] then
  STATE = KEYS[3]
  local invited = open_room('')
  if invited then lines[2] = {state = STATE, old = invited, first = others, last = #ARGV} end
end
for at, line in ipairs(lines) do
  for i = line.first, line.last, 2 do
    local is_other = redis.call('HGET', line.state, ARGV[i]) ~= ARGV[i + 1]
    if at == 1 and is_other then said[#said + 1] = ARGV[i] .. '=' .. ARGV[i + 1] end
    redis.call('HSET', line.state, ARGV[i], ARGV[i + 1])
  end
  free_at(line.old)
  ahead = math.max(ahead, line.old.last - line.old.now)
end

-- What it means to people in line: how fast they come in, then how many may be inside.
local function measures(limits)
  if limits.hold then return 0, 0 end
  return limits.unlimited and math.huge or limits.rate, limits.max_active > 0 and limits.max_active or math.huge
end
-- The sum of both keeps the promise: a new rate counts from the last admission that either reserved at an old one, and
-- a line that had no part in the room's limits brings no credit.
for at, line in ipairs(lines) do
  STATE = line.state
  local old, new = line.old, open_room('')
  if new.rate ~= old.rate or new.burst ~= old.burst or new.unlimited ~= old.unlimited then
    local next_at = converted(old, new.rate, new.burst, old.now + ahead, at == 1 or split ~= '')
    redis.call('HSET', STATE, 'next_at', micros(next_at))
  end
  local old_pace, old_room = measures(old)
  local pace, room = measures(new)
  if pace ~= old_pace or room ~= old_room then
    local word = (pace > old_pace or pace == old_pace and room > old_room) and 'faster' or 'slower'
    if new.hold then word = 'held' elseif old.hold then word = 'resumed' end
    redis.call('HSET', STATE, 'changed', whole(now_ms), 'change', word)
  end
end
if #said > 0 then
  write_log(KEYS[2], 'limits_changed', 'by', ARGV[2],
    'change', table.concat(said, ' '))
end
return reply
