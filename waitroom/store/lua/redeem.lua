-- Redeem an invite: one number in the line of the invited for each visitor, at most as many visitors as it has uses.
-- Whoever repeats gets the same number; a new one only if that one was not taken, and lapsed or went with a reset.
-- KEYS  state (of the invited), the invite, its batch, claimed bits of the chunk of the number that the visitor was given
-- ARGV  generation, visitor, uses, expires (ms), serial, '<generation> <number>' that those bits are of
-- Reply 'ok', generation, number · 'expired' · 'revoked' · 'used' · 'due' where the line begins anew first · 'bits',
--       generation, number: to be asked again with the bits of that one
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
  local place, is_of_now = tonumber(number), generation == r.generation
  if is_of_now and place >= r.lapsed then return {'ok', generation, place} end
  if ARGV[6] ~= kept then return {'bits', generation, place} end
  -- The bits are kept for a while after the turn; without them nobody knows that it was not taken. After a reset they
  -- are kept for so long that it was not.
  local is_taken = redis.call('GETBIT', KEYS[4], place % 65536 + 7 - 2 * (place % 8)) == 1
  if is_taken or is_of_now and redis.call('EXISTS', KEYS[4]) == 0 then return {'used'} end
elseif redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[3]) then
  return {'used'}
end
redis.call('HSET', KEYS[2], visitor, r.generation .. ' ' .. whole(r.issued))
redis.call('PEXPIREAT', KEYS[2], whole(expires))
r.issued = r.issued + 1
save(r)
return {'ok', r.generation, r.issued - 1}
