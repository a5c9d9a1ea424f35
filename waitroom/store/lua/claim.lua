-- Called visitors turn their places into admissions, in order of place; who cannot be let in now stands at the door.
-- KEYS  state, reply, active, door, asked, minute, ended, ghosts, then (claims, claimed) of each chunk in use
-- ARGV  generation, seat (ms), claim_repeat (ms), then per visitor in order of place: place, id, index of its claims key
-- Reply ok, created (s), then per visitor: 'admit' admit_at, 'again' admit_at, 'door' its rank, or 'waiting', 'lapsed',
--       'taken' (another visitor's) with ''. 'due' where a change of phase has to be latched first.
-- So often a claim may be repeated: by other tabs, after a lost answer, in browsers that the ticket was copied to.
local REPEATS = 30
local r, refusal = open_room(ARGV[1])
if not r then return refusal end
local kept = answered(KEYS[2])
if kept then return kept end
if is_due(r) then return {'due'} end

local active, door, asked = KEYS[3], KEYS[4], KEYS[5]
local seat_ms, repeat_ms = tonumber(ARGV[2]), tonumber(ARGV[3])
tidy_door(door, asked)
local left, seats = grantable(r), seats_free(r, active, KEYS[8])

local reply = {'ok', whole(r.created)}
local function say(what, value) reply[#reply + 1] = what; reply[#reply + 1] = value end
for i = 4, #ARGV, 3 do
  local member, visitor, key = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  local place, seat = tonumber(member), r.generation .. ':' .. member
  local old, has_seat = redis.call('HGET', KEYS[key], member), redis.call('ZSCORE', active, seat)
  local at, owner, granted, times = string.match(old or '', '(%S+) (%S+) (%S+) ?(%d*)')
  owner, times = owner or visitor, (tonumber(times) or 0) + 1
  -- With a seat and no claim: admitted by a Redis that was lost, and the worker put the seat back.
  local is_repeat = old or has_seat
  local is_too_late = times > REPEATS or not has_seat and old and (now_ms - granted > repeat_ms or seats <= 0)
  if owner ~= visitor then
    say('taken', '')
  elseif redis.call('ZSCORE', KEYS[7], seat) or place < r.lapsed and not old or is_repeat and is_too_late then
    say('lapsed', '')
  elseif is_repeat then
    at, granted = at or micros(r.now), granted or whole(now_ms)
    if not has_seat then
      seats = seats - 1 -- a seat that Redis forgot
      keep_seat(active, seat, whole(now_ms + seat_ms))
    end
    note_claim(KEYS[key], KEYS[key + 1], place, table.concat({at, visitor, granted, times}, ' '))
    say('again', at)
  elseif place >= r.front or not admits(r) then
    say('waiting', '')
  else
    local rank = redis.call('ZCOUNT', door, '-inf', '(' .. member)
    if rank < math.min(left, seats) then
      left, seats = left - 1, seats - 1
      leave_door(door, asked, member)
      say('admit', micros(admit(r, place, visitor, seat_ms, active, KEYS[key], KEYS[key + 1])))
    else
      stand_at_door(door, asked, member)
      say('door', whole(rank))
    end
  end
end
save(r)
count(KEYS[6], 'claimed', r.admitted)
return answer(KEYS[2], reply)
