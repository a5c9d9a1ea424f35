-- Redeem an invite: one number in the line of the invited for each visitor, at most as many visitors as it has uses.
-- Whoever repeats gets the same number; a new one only after a reset, or if the turn lapsed without being taken.
-- KEYS  state (of the invited), the invite, its batch, claimed bits of the chunk of the number that the visitor holds
-- ARGV  generation, visitor, uses, expires (ms), serial, '<generation> <number>' that the visitor holds ('' = none)
-- Reply 'ok', generation, number · 'expired' · 'revoked' · 'used' · 'due' where the line begins anew first
local r, refusal = open_room(ARGV[1])
if not r then return refusal end
if is_due(r) then return {'due'} end
local visitor, expires = ARGV[2], tonumber(ARGV[4])
if now_ms >= expires then return {'expired'} end
if redis.call('HEXISTS', KEYS[3], 'revoked') == 1 or redis.call('HEXISTS', KEYS[3], 'revoked:' .. ARGV[5]) == 1 then
  return {'revoked'}
end

local kept = redis.call('HGET', KEYS[2], visitor)
if kept then
  local generation, number = string.match(kept, '(%S+) (%d+)')
  if generation == r.generation then
    local place = tonumber(number)
    if place >= r.lapsed then return {'ok', generation, place} end
    -- The bits are kept for a while after the turn; without them nobody knows that it was not taken.
    local bit = place % 65536 + 7 - 2 * (place % 8)
    local is_untaken = ARGV[6] == kept and redis.call('GETBIT', KEYS[4], bit) == 0 and redis.call('EXISTS', KEYS[4]) == 1
    if not is_untaken then return {'used'} end
  end
elseif redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[3]) then
  return {'used'}
end
redis.call('HSET', KEYS[2], visitor, r.generation .. ' ' .. whole(r.issued))
redis.call('PEXPIREAT', KEYS[2], whole(expires))
r.issued = r.issued + 1
save(r)
return {'ok', r.generation, r.issued - 1}
