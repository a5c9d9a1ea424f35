-- Before phase.lua: the draw of a lobby (core/sale/draw.py).

-- What nobody can change any more: that the seed is this one, and where the note comes from.
local function announce_draw(log, commitment, nonce, key_id, source, opened_ms)
  redis.call('HSET', STATE, 'draw_nonce', nonce, 'draw_key', key_id, 'draw_source', source, 'draw_opened', opened_ms,
    'draw_commitment', commitment, 'draw_drawn', 0, 'draw_numbers', '', 'draw_left_out', '', 'draw_seed', '',
    'draw_note', '', 'draw_known', 0)
  sale_changed(false)
  write_log(log, 'draw_announced', 'commitment', commitment, 'source', source)
end

-- Who has a number is in it, who gets one later is behind; N is fixed here and nowhere else.
local function fix_draw(numbers)
  local holes = redis.call('HMGET', STATE, 'holes', 'hole', 'hole_end')
  redis.call('HSET', STATE, 'lobby_size', whole(numbers), 'drawn_at', whole(now_ms), 'draw_numbers', whole(numbers),
    'draw_drawn', whole(now_ms), 'draw_left_out', holes[1] .. holes[2] .. '-' .. holes[3])
end
