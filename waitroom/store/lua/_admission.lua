-- Shared by every script, after _meter.lua and _seats.lua: the door, and how a visitor is admitted.
local CLAIMS_KEPT = 7 * 86400000

local function leave_door(door, asked, member)
  redis.call('ZREM', door, member)
  redis.call('ZREM', asked, member)
end

-- Who stands at the door: nobody who has not asked for 5 s, or who asked at a time to come (the clock went back).
local function tidy_door(door, asked)
  for _, span in ipairs({{'-inf', now_ms - 5000}, {now_ms + 1000, '+inf'}}) do
    for _, gone in ipairs(redis.call('ZRANGEBYSCORE', asked, span[1], span[2], 'LIMIT', 0, 5000)) do
      leave_door(door, asked, gone)
    end
  end
end

local function stand_at_door(door, asked, member)
  redis.call('ZADD', door, member, member)
  redis.call('ZADD', asked, now_ms, member)
  redis.call('PEXPIRE', door, 60000)
  redis.call('PEXPIRE', asked, 60000)
end

-- Note who claimed a place, and when. Claims of a chunk that nobody claimed in before run out also if the room is reset
-- before release.lua, which says how long they are kept, hears of them.
local function note_claim(claims, claimed, place, text)
  redis.call('HSET', claims, whole(place), text)
  -- SETBIT counts from the highest bit of a byte; the bits are read as little-endian numbers.
  redis.call('SETBIT', claimed, place % 65536 + 7 - 2 * (place % 8), 1)
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
  note_claim(claims, claimed, place, micros(at) .. ' ' .. visitor .. ' ' .. whole(now_ms))
  keep_seat(active, r.generation .. ':' .. whole(place), whole(r.created * 1000 + math.ceil(at / 1000) + seat_ms))
  return at
end
