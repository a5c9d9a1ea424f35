-- Shared by every script, after _room.lua: what a sale allows (core/sale/schedule.py).

-- A change of phase is due: it is latched (phase.lua) before anybody is given anything.
local function is_due(r) return r.due > 0 and now_ms >= r.due end

local function admits(r)
  return not r.sold_out and (r.phase == '' or r.phase == 'open' or r.phase == 'draining')
end

local function gives_numbers(r)
  if r.phase == '' then return not r.sold_out end
  local is_over = r.closes > 0 and now_ms >= r.closes
  return not r.sold_out and not is_over and (r.phase == 'lobby' or r.phase == 'drawn' or r.phase == 'open')
end

-- Which memory of a sale is the newest (adopt.lua): an operator's word counts for more than all that followed from the
-- word before it, by the clock or by the shop, also at a server that was cut off.
local function sale_changed(is_word)
  redis.call('HINCRBY', STATE, 'sale_version', is_word and '1000000000' or 1)
end
