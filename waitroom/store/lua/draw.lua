-- Reveal the seed of a draw, or enter its note; each once, and only when it is fixed who takes part.
-- KEYS  state, log
-- ARGV  generation, field (draw_seed or draw_note), value, who
-- Reply ok, 'done' · 'known' (it is that already) · 'other' (there is another one) · 'early' (who takes part is not fixed
--       yet) · 'none' (no draw, or none whose note has a source) · 'late' (the sale went on); 'unsettled' for a note right
--       after an adoption
local r, refusal = open_room(ARGV[1])
if not r then return refusal end
local v = redis.call('HMGET', STATE, 'draw_commitment', 'draw_numbers', 'draw_source', 'draw_seed', 'draw_note', ARGV[2])
local is_note, source, seed, note = ARGV[2] == 'draw_note', v[3] or '', v[4] or '', v[5] or ''
if (v[1] or '') == '' or is_note and source == '' then return {'ok', 'none'} end
if v[2] == '' then return {'ok', 'early'} end
if is_note and is_recent(r.adopted) then return {'unsettled'} end
if v[6] ~= '' then return {'ok', v[6] == ARGV[3] and 'known' or 'other'} end
if is_note and r.phase ~= 'drawn' then return {'ok', 'late'} end

redis.call('HSET', STATE, ARGV[2], ARGV[3])
sale_changed(is_note)
if is_note then note = ARGV[3] else seed = ARGV[3] end
if seed ~= '' and (source == '' or note ~= '') then
  redis.call('HSET', STATE, 'draw_known', whole(now_ms))
  -- When the line opens follows from that: phase.lua.
  if r.phase == 'drawn' then redis.call('HSET', STATE, 'due', 1) end
end
write_log(KEYS[2], is_note and 'draw_note' or 'draw_revealed', 'by', ARGV[4],
  'value', ARGV[3])
return {'ok', 'done'}
