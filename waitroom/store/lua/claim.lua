-- Called visitors turn their places into admissions, in order of place; who cannot be let in now stands at the door.
-- KEYS  state, reply, active, door, asked, minute, ended, then (claims, claimed) of each chunk in use
-- ARGV  generation, seat (ms), claim_repeat (ms), then per visitor in order of place: place, id, index of its claims key
-- Reply ok, created (s), then per visitor: 'admit' admit_at, 'again' admit_at, 'door' its rank, or 'waiting', 'lapsed',
--       'taken' (another visitor's) with ''.
local r, refusal = open_room(ARGV[1])
if not r then return refusal end
local kept = answered(KEYS[2])
if kept then return kept end

local active, door, asked = KEYS[3], KEYS[4], KEYS[5]
local seat_ms, repeat_ms = tonumber(ARGV[2]), tonumber(ARGV[3])
tidy_door(door, asked)
local left, seats = grantable(r), seats_free(r, active)

local reply = {'ok', whole(r.created)}
local function say(what, value) reply[#reply + 1] = what; reply[#reply + 1] = value end
for i = 4, #ARGV, 3 do
  local member, visitor, key = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  local place = tonumber(member)
  local old = redis.call('HGET', KEYS[key], member)
  if old then
    local at, owner, granted = string.match(old, '(%S+) (%S+) (%S+)')
    if owner ~= visitor then
      say('taken', '')
    elseif redis.call('ZSCORE', KEYS[7], r.generation .. ':' .. member) then
      say('lapsed', '')
    elseif redis.call('ZSCORE', active, r.generation .. ':' .. member) then
      say('again', at)
    elseif now_ms - tonumber(granted) <= repeat_ms and seats > 0 then
      seats = seats - 1 -- a seat that Redis forgot
      redis.call('ZADD', active, whole(now_ms + seat_ms), r.generation .. ':' .. member)
      say('again', at)
    else
      say('lapsed', '')
    end
  elseif place >= r.front then
    say('waiting', '')
  elseif place < r.lapsed then
    say('lapsed', '')
  else
    local rank = redis.call('ZCOUNT', door, '-inf', '(' .. member)
    if rank < math.min(left, seats) then
      left, seats = left - 1, seats - 1
      redis.call('ZREM', door, member)
      redis.call('ZREM', asked, member)
      say('admit', micros(admit(r, place, visitor, seat_ms, active, KEYS[key], KEYS[key + 1])))
    else
      redis.call('ZADD', door, member, member)
      redis.call('ZADD', asked, now_ms, member)
      redis.call('PEXPIRE', door, 60000)
      redis.call('PEXPIRE', asked, 60000)
      say('door', whole(rank))
    end
  end
end
save(r)
count(KEYS[6], 'claimed', r.admitted)
return answer(KEYS[2], reply)
