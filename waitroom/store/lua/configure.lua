-- Change limits, hold or message; a new rate converts the meter. Reservations made stand.
-- KEYS  state, log
-- ARGV  generation, who, digest of the environment ('' = a live change; else nothing happens if it is already in force),
--       then fields and values: rate (per s), burst, unlimited, hold, max_active, message
-- Reply ok, 1 if anything was changed, then the fields and values before
local r, refusal = open_room(ARGV[1])
if not r then return refusal end
local before = redis.call('HGETALL', STATE)
local reply = {'ok', 1}
for i = 1, #before do reply[#reply + 1] = before[i] end
if ARGV[3] ~= '' then
  if redis.call('HGET', STATE, 'digest') == ARGV[3] then reply[2] = 0; return reply end
  redis.call('HSET', STATE, 'digest', ARGV[3])
end

local set, said = {}, {}
for i = 4, #ARGV, 2 do
  set[ARGV[i]] = ARGV[i + 1]
  redis.call('HSET', STATE, ARGV[i], ARGV[i + 1])
  said[#said + 1] = ARGV[i] .. '=' .. ARGV[i + 1]
end
local rate, burst = tonumber(set.rate or r.rate), tonumber(set.burst or r.burst)
local unlimited = r.unlimited
if set.unlimited then unlimited = set.unlimited == '1' end
if rate ~= r.rate or burst ~= r.burst or unlimited ~= r.unlimited then
  free_at(r)
  local base = math.max(r.now, r.last)
  local tokens = 0
  if not r.unlimited then
    tokens = math.min(r.burst, math.max(0, r.burst - (r.next_at - base) / r.spacing))
  end
  redis.call('HSET', STATE, 'next_at', micros(base + (burst - math.min(tokens, burst)) * 1e6 / rate))
end

-- What it means to people in line: how fast they come in, then how many may be inside.
local function measures(rate_now, no_rate, cap, hold)
  if hold then return 0, 0 end
  return no_rate and math.huge or rate_now, cap > 0 and cap or math.huge
end
local hold, cap = r.hold, tonumber(set.max_active or r.max_active)
if set.hold then hold = set.hold == '1' end
local old_pace, old_room = measures(r.rate, r.unlimited, r.max_active, r.hold)
local pace, room = measures(rate, unlimited, cap, hold)
if pace ~= old_pace or room ~= old_room then
  local change = (pace > old_pace or pace == old_pace and room > old_room) and 'faster' or 'slower'
  if hold then change = 'held' elseif r.hold then change = 'resumed' end
  redis.call('HSET', STATE, 'changed', whole(now_ms), 'change', change)
end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', '1000', '*', 'event', 'limits_changed', 'by', ARGV[2],
  'change', table.concat(said, ' '))
return reply
