-- Shared by every script, after _room.lua: the meter (core/meter.py).
local HORIZON = 2000000

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

-- When the next one may begin at another rate and burst: those count from `from_us` on, which is not before the last
-- admission reserved, and what credit there is then stays (core/meter.py: change).
local function converted(r, rate, burst, from_us, has_credit)
  local tokens = 0
  if has_credit and not r.unlimited then
    tokens = math.min(r.burst, math.max(0, r.burst - (r.next_at - from_us) / r.spacing))
  end
  return from_us + (burst - math.min(tokens, burst)) * 1e6 / rate
end
