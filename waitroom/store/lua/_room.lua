-- Shared beginning of every script. KEYS[1] is the room's state; ARGV[1] the generation the caller knows ('' = any).
-- Times: `now` and the meter in µs since the room's creation, the rest in ms since 1970. Numbers are written with
-- string.format: tostring prints large ones in exponent form.
local HORIZON = 2000000
local ACTIVE_KEPT = 7 * 86400000
local STATE, CLOCK = KEYS[1], redis.call('TIME')
local now_ms = CLOCK[1] * 1000 + math.floor(CLOCK[2] / 1000)

local function whole(number) return string.format('%.0f', number) end
local function micros(number) return string.format('%.3f', number) end

-- The replication id: a server that restarted, failed over or was replaced has another one.
local function server_id()
  return string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
end

-- The room, or nil and the refusal to answer with.
local function open_room(generation)
  local v = redis.call('HMGET', STATE, 'generation', 'server', 'created', 'issued', 'front', 'next_at', 'last', 'rate',
    'burst', 'unlimited', 'hold', 'max_active', 'lapsed', 'soon', 'ghosts', 'ghosts_until', 'released', 'soon_at', 'gap')
  if not v[1] or v[2] ~= server_id() then return nil, {'adopt'} end
  if generation ~= '' and v[1] ~= generation then return nil, {'generation', v[1]} end
  local r = {generation = v[1], created = tonumber(v[3]), issued = tonumber(v[4]), front = tonumber(v[5]),
    next_at = tonumber(v[6]), last = tonumber(v[7]), rate = tonumber(v[8]), burst = tonumber(v[9]),
    unlimited = v[10] == '1', hold = v[11] == '1', max_active = tonumber(v[12]), lapsed = tonumber(v[13]),
    soon = tonumber(v[14]), ghosts = tonumber(v[15]), ghosts_until = tonumber(v[16]), released = tonumber(v[17]),
    soon_at = tonumber(v[18]), gap = tonumber(v[19]), admitted = 0}
  r.now = (CLOCK[1] - r.created) * 1e6 + CLOCK[2]
  r.spacing = 1e6 / r.rate
  return r
end

-- When the next admission may begin. Reservations never reach further than the horizon and one spacing,
-- unless the server's clock went back: then the meter starts anew, without credit.
local function free_at(r)
  if r.unlimited then return r.now end
  local free = math.max(r.now, r.next_at - (r.burst - 1) * r.spacing)
  if free - r.now > HORIZON + r.spacing + 1000 then
    r.next_at = r.now + HORIZON + r.burst * r.spacing
    free = r.now + HORIZON + r.spacing
  end
  return free
end

-- How many admissions could be reserved at this moment (core/meter.py: grantable).
local function grantable(r)
  if r.hold then return 0 end
  if r.unlimited then return math.huge end
  free_at(r)
  local start = math.max(r.next_at, r.now)
  return math.max(0, math.floor((r.now + HORIZON - start) / r.spacing + r.burst - 1) + 1)
end

-- Seats taken in the zset `active`; `ghosts` are seats known to be taken by people that a lost Redis forgot.
local function seats_taken(r, active)
  redis.call('ZREMRANGEBYSCORE', active, '-inf', now_ms)
  local taken = redis.call('ZCARD', active)
  if now_ms < r.ghosts_until then taken = taken + r.ghosts end
  return taken
end

-- Seats to give away. None in the second after an adoption: workers are still putting back what Redis lost.
local function seats_free(r, active)
  if r.max_active == 0 then return math.huge end
  local taken = seats_taken(r, active)
  if now_ms >= r.gap and now_ms - r.gap < 1000 then return 0 end
  return r.max_active - taken
end

-- Who stands at the door: nobody who has not asked for 5 s, or who asked at a time to come (the clock went back).
local function tidy_door(door, asked)
  for _, gone in ipairs(redis.call('ZRANGEBYSCORE', asked, '-inf', now_ms - 5000, 'LIMIT', 0, 5000)) do
    redis.call('ZREM', asked, gone)
    redis.call('ZREM', door, gone)
  end
  for _, gone in ipairs(redis.call('ZRANGEBYSCORE', asked, now_ms + 1000, '+inf', 'LIMIT', 0, 5000)) do
    redis.call('ZREM', asked, gone)
    redis.call('ZREM', door, gone)
  end
end

local function stand_at_door(door, asked, member)
  redis.call('ZADD', door, member, member)
  redis.call('ZADD', asked, now_ms, member)
  redis.call('PEXPIRE', door, 60000)
  redis.call('PEXPIRE', asked, 60000)
end

-- Admit one visitor: the claim, the seat until `seat_ms` after the admission, the meter. Returns admit_at.
local function admit(r, place, visitor, seat_ms, active, claims, claimed)
  local at = free_at(r)
  if not r.unlimited then r.next_at = math.max(r.next_at, at) + r.spacing end
  -- With a limit reservations follow each other; an earlier one that stands later is of a clock that went back.
  r.last, r.admitted = r.unlimited and math.max(r.last, at) or at, r.admitted + 1
  local member = whole(place)
  redis.call('HSET', claims, member, micros(at) .. ' ' .. visitor .. ' ' .. whole(now_ms))
  -- SETBIT counts from the highest bit of a byte; the bits are read as little-endian numbers.
  redis.call('SETBIT', claimed, place % 65536 + 7 - 2 * (place % 8), 1)
  redis.call('ZADD', active, whole(r.created * 1000 + math.ceil(at / 1000) + seat_ms), r.generation .. ':' .. member)
  redis.call('PEXPIRE', active, ACTIVE_KEPT)
  return at
end

local function save(r)
  redis.call('HSET', STATE, 'issued', whole(r.issued), 'front', whole(r.front), 'next_at', micros(r.next_at),
    'last', micros(r.last))
  if r.admitted > 0 then redis.call('HINCRBY', STATE, 'admitted', r.admitted) end
end

local function count(minute, field, by)
  if by > 0 then
    redis.call('HINCRBY', minute, field, by)
    redis.call('PEXPIRE', minute, 7200000)
  end
end

-- A call carries an id; a retry is answered from here, not executed again.
local function answered(key)
  local kept = redis.call('GET', key)
  return kept and cmsgpack.unpack(kept)
end
local function answer(key, reply)
  redis.call('SET', key, cmsgpack.pack(reply), 'PX', 60000)
  return reply
end
