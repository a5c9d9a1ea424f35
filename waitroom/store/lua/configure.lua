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

local lines, ahead, others, said = {{state = STATE, r = r}}, 0, 5 + 2 * tonumber(ARGV[4]), {}
if KEYS[3] then
  STATE = KEYS[3]
  local invited = open_room('')
  if invited then lines[2] = {state = STATE, r = invited} end
end
for at, line in ipairs(lines) do
  line.set, STATE = {}, line.state
  for i = at == 1 and 5 or others, at == 1 and others - 1 or #ARGV, 2 do
    if redis.call('HGET', STATE, ARGV[i]) ~= ARGV[i + 1] and at == 1 then said[#said + 1] = ARGV[i] .. '=' .. ARGV[i + 1] end
    line.set[ARGV[i]] = ARGV[i + 1]
    redis.call('HSET', STATE, ARGV[i], ARGV[i + 1])
  end
  free_at(line.r)
  ahead = math.max(ahead, line.r.last - line.r.now)
end

-- What it means to people in line: how fast they come in, then how many may be inside.
local function measures(rate_now, no_rate, cap, hold)
  if hold then return 0, 0 end
  return no_rate and math.huge or rate_now, cap > 0 and cap or math.huge
end
-- The sum of both keeps the promise: a new rate counts from the last admission that either reserved at an old one, and
-- a line that had no part in the room's limits brings no credit.
for at, line in ipairs(lines) do
  local r, set = line.r, line.set
  local rate, burst, unlimited, hold = tonumber(set.rate or r.rate), tonumber(set.burst or r.burst), r.unlimited, r.hold
  if set.unlimited then unlimited = set.unlimited == '1' end
  if set.hold then hold = set.hold == '1' end
  STATE = line.state
  if rate ~= r.rate or burst ~= r.burst or unlimited ~= r.unlimited then
    local base, tokens = r.now + ahead, 0
    if not r.unlimited and not (at == 2 and split == '') then
      tokens = math.min(r.burst, math.max(0, r.burst - (r.next_at - base) / r.spacing))
    end
    redis.call('HSET', STATE, 'next_at', micros(base + (burst - math.min(tokens, burst)) * 1e6 / rate))
  end
  local old_pace, old_room = measures(r.rate, r.unlimited, r.max_active, r.hold)
  local pace, room = measures(rate, unlimited, tonumber(set.max_active or r.max_active), hold)
  if pace ~= old_pace or room ~= old_room then
    local word = (pace > old_pace or pace == old_pace and room > old_room) and 'faster' or 'slower'
    if hold then word = 'held' elseif r.hold then word = 'resumed' end
    redis.call('HSET', STATE, 'changed', whole(now_ms), 'change', word)
  end
end
if #said > 0 then
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', '1000', '*', 'event', 'limits_changed', 'by', ARGV[2],
    'change', table.concat(said, ' '))
end
return reply
