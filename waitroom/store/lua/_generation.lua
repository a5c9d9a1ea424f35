-- Shared by every script, after _admission.lua: a new run of the room.

-- Tickets of the old one are no longer valid, people inside stay. KEYS 3 and 4 are the door's, then come (claims, claimed)
-- of the old generation. Who was admitted is known for longer: an invite is good once (redeem.lua).
local function new_generation(r, id, claims_kept_ms)
  redis.call('HINCRBY', STATE, 'ordinal', 1)
  redis.call('HSET', STATE, 'generation', id, 'issued', 0, 'front', 0, 'lapsed', 0, 'soon', 0, 'holes', '', 'hole', 0,
    'hole_end', 0, 'released', whole(now_ms), 'table_version', '',
    -- Of a clock that has gone back since: nobody would be called before it is there again.
    'gap', whole(math.min(r.gap, now_ms)))
  redis.call('DEL', KEYS[3], KEYS[4])
  for i = 5, #KEYS, 2 do
    redis.call('PEXPIRE', KEYS[i], claims_kept_ms)
    redis.call('PEXPIRE', KEYS[i + 1], CLAIMS_KEPT)
  end
end
