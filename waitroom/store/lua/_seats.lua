-- Shared by every script, after _room.lua: the seats, which are the room's, whichever line somebody came by.
local ACTIVE_KEPT = 7 * 86400000

-- Seats known to be taken by people that a lost Redis forgot.
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
  if is_new == 1 then redis.call('PEXPIRE', active, ACTIVE_KEPT) end
  return is_new
end
