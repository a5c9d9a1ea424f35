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
