-- Bring the phase of a sale up to now: each change once, and logged once, by whoever comes first after its time.
-- KEYS  state, log, door, asked, then claims keys of the generation
-- ARGV  generation, a new one (for a lobby that opens in a room already used), how long claims are kept (ms); then, to
--       announce a draw with: nonce, key id, source, time (ms), commitment for this generation, one for the new ('' from
--       who holds no signing key: no lobby is opened then)
-- Reply ok, the phase · 'wait' while a worker may remember a change that Redis lost
local r, refusal = open_room(ARGV[1])
if not r then return refusal end
if not is_due(r) then return {'ok', r.phase} end
if is_recent(r.gap) then return {'wait'} end
if redis.call('HGET', STATE, 'renew') == '1' then
  -- The line of the invited, which has no phases of its own, as a sale was newly set.
  if r.issued > 0 then new_generation(r, ARGV[2], ARGV[3]) end
  redis.call('HSET', STATE, 'due', 0, 'renew', 0)
  return {'ok', r.phase}
end
local v = redis.call('HMGET', STATE, 'opens_at', 'lobby_at', 'at_close', 'draw_lead', 'lobby_size', 'draw_known',
  'draw_commitment')
local opens, lobby, stops, lead = tonumber(v[1]), tonumber(v[2]), v[3] == 'stop', tonumber(v[4])
local size, known, commitment = tonumber(v[5] or 0), tonumber(v[6] or 0), v[7] or ''
local draw, is_over = math.max(lobby or 0, (opens or 0) - (lead or 0)), r.closes > 0 and now_ms >= r.closes

local function latch(phase)
  r.phase = phase
  redis.call('HSET', STATE, 'phase', phase, 'phase_at', whole(now_ms))
  sale_changed(false)
  write_log(KEYS[2], 'phase_changed', 'phase', phase, 'issued', whole(r.issued))
end
-- Not before everybody of the lobby has had the time to learn their places.
local function opening()
  if size == 0 then return opens end
  return known > 0 and math.max(opens, known + math.min(lead, 60000)) or math.huge
end

local fresh = ARGV[8]
if r.phase == 'before' and now_ms >= lobby and fresh ~= '' then
  -- Of what was before the sale, in this room, nobody has a place in it.
  if r.issued > 0 then new_generation(r, ARGV[2], ARGV[3]); fresh, r.issued, r.front, r.lapsed = ARGV[9], 0, 0, 0 end
  redis.call('HSET', STATE, 'lobby_size', '', 'drawn_at', 0)
  commitment = ''
  latch('lobby')
end
if r.phase == 'lobby' and commitment == '' and fresh ~= '' then
  commitment = fresh
  announce_draw(KEYS[2], commitment, ARGV[4], ARGV[5], ARGV[6], ARGV[7])
end
if r.phase == 'lobby' and commitment ~= '' and now_ms >= draw and not (is_over and stops) then
  size, known = r.issued, 0
  fix_draw(size)
  latch('drawn')
end
if r.phase == 'drawn' and now_ms >= opening() and not (is_over and stops) then latch('open') end
if is_over and r.phase == 'open' and not stops then latch('draining') end
if is_over and stops and (r.phase == 'lobby' or r.phase == 'drawn' or r.phase == 'open') then latch('closed') end
if r.phase == 'draining' and r.front >= r.issued and r.lapsed >= r.issued then latch('closed') end

local due = ({before = lobby, lobby = draw, drawn = r.phase == 'drawn' and opening(), open = r.closes})[r.phase] or 0
if r.phase == 'drawn' and stops and r.closes > 0 then due = math.min(due, r.closes) end
redis.call('HSET', STATE, 'due', due < math.huge and whole(due) or 0)
return {'ok', r.phase}
