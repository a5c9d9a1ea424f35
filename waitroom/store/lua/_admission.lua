-- Shared by every script, after _meter.lua: the seats, the door, and how a visitor is admitted.
local ACTIVE_KEPT = 7 * 86400000
local CLAIMS_KEPT = 7 * 86400000

-- Seats known to be taken by people that a lost Redis forgot. They are the room's, whichever line somebody came by.
local function ghost_seats(ghosts)
  local v = redis.call('HMGET', ghosts, 'seats', 'until')
  return v[1] and now_ms < tonumber(v[2]) and tonumber(v[1]) or 0
end

-- Seats taken: those in the zset `active`, and the ghosts'.
local function seats_taken(active, ghosts)
  redis.call('ZREMRANGEBYSCORE', active, '-inf', now_ms)
  return redis.call('ZCARD', active) + ghost_seats(ghosts)
end

-- Seats to give away.
local function seats_free(r, active, ghosts)
  if r.max_active == 0 then return math.huge end
  local taken = seats_taken(active, ghosts)
  if is_recent(r.gap) then return 0 end
  return r.max_active - taken
end

-- Count a seat until `end_ms`, not less long than it is counted already. 1 if it was not counted at all, else 0.
local function keep_seat(active, member, end_ms)
  local is_new = redis.call('ZADD', active, 'GT', end_ms, member)
  redis.call('PEXPIRE', active, ACTIVE_KEPT)
  return is_new
end

-- Who stands at the door: nobody who has not asked for 5 s, or who asked at a time to come (the clock went back).
local function tidy_door(door, asked)
  for _, span in ipairs({{'-inf', now_ms - 5000}, {now_ms + 1000, '+inf'}}) do
    for _, gone in ipairs(redis.call('ZRANGEBYSCORE', asked, span[1], span[2], 'LIMIT', 0, 5000)) do
      redis.call('ZREM', asked, gone)
      redis.call('ZREM', door, gone)
    end
  end
end

local function stand_at_door(door, asked, member)
  redis.call('ZADD', door, member, member)
  redis.call('ZADD', asked, now_ms, member)
  redis.call('PEXPIRE', door, 60000)
  redis.call('PEXPIRE', asked, 60000)
end

-- Claims of a chunk that nobody claimed in before: they run out also if the room is reset before release.lua, which
-- says how long they are kept, hears of them.
local function keep_claims(claims, claimed)
  if redis.call('HLEN', claims) > 1 then return end
  redis.call('PEXPIRE', claims, CLAIMS_KEPT)
  redis.call('PEXPIRE', claimed, CLAIMS_KEPT)
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
  keep_claims(claims, claimed)
  keep_seat(active, r.generation .. ':' .. member, whole(r.created * 1000 + math.ceil(at / 1000) + seat_ms))
  return at
end
