-- Before adopt.lua: what Redis has of a room and what a worker remembers of it, made one.
local GROWS = 'issued front last lapsed usable admitted on_the_spot confirmed hole hole_end'
local SALE = 'sale_version sale_digest phase phase_at due opens_at lobby_at closes_at at_close draw_lead ' ..
  'lobby_size drawn_at stock sold_out draw_nonce draw_key draw_source draw_opened draw_commitment draw_numbers ' ..
  'draw_drawn draw_left_out draw_seed draw_note draw_known'

local function put(kept, field, value)
  redis.call('HSET', STATE, field, value)
  kept[field] = value
end

-- Of one generation. `is_first`: nobody has merged anything into it since Redis came back.
local function merge(kept, mine, is_first)
  -- Who knows of the later hole knows of the earlier ones; of one hole, who knows more people beyond its begin does.
  local later = tonumber(mine.hole_end) - tonumber(kept.hole_end)
  if later == 0 then later = tonumber(mine.hole) - tonumber(kept.hole) end
  for field in string.gmatch(GROWS, '%S+') do
    if tonumber(mine[field]) > tonumber(kept[field]) then put(kept, field, mine[field]) end
  end
  -- What was last changed of a sale goes together: schedule, phase, draw, stock.
  if tonumber(mine.sale_version or 0) > tonumber(kept.sale_version or 0) then
    for field in string.gmatch(SALE, '%S+') do
      if mine[field] then put(kept, field, mine[field]) end
    end
  end
  if later > 0 then put(kept, 'holes', mine.holes) end
  -- A later memory may know of numbers beyond the first one's: they are people, not part of the hole; but for the
  -- hole of an adoption that nobody else remembers.
  local known, from, to = tonumber(mine.issued), tonumber(kept.hole), tonumber(mine.hole_end)
  if not is_first and known > from and known < tonumber(kept.hole_end) then
    local start = whole(math.max(from, tonumber(mine.hole)))
    if to > from then put(kept, 'holes', kept.holes .. start .. '-' .. mine.hole_end .. ' ') end
    put(kept, 'hole', mine.issued)
  end
end
