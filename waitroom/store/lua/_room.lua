-- Shared beginning of every script. KEYS[1] is the room's state; ARGV[1] the generation the caller knows ('' = any).
-- Times: `now` and the meter in µs since the room's creation, the rest in ms since 1970. Numbers are written with
-- string.format: tostring prints large ones in exponent form.
local STATE, CLOCK = KEYS[1], redis.call('TIME')
local now_ms = CLOCK[1] * 1000 + math.floor(CLOCK[2] / 1000)

local function whole(number) return string.format('%.0f', number) end
local function micros(number) return string.format('%.3f', number) end

-- The replication id: a server that restarted, failed over or was replaced has another one.
local function server_id()
  return string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
end

-- The room, or nil and the refusal to answer with.
local function open_room(generation)
  local v = redis.call('HMGET', STATE, 'generation', 'server', 'created', 'issued', 'front', 'next_at', 'last', 'rate',
    'burst', 'unlimited', 'hold', 'max_active', 'lapsed', 'soon', 'released', 'soon_at', 'gap', 'phase', 'due',
    'sold_out', 'closes_at', 'adopted')
  if not v[1] or v[2] ~= server_id() then return nil, {'adopt'} end
  if generation ~= '' and v[1] ~= generation then return nil, {'generation', v[1]} end
  local r = {generation = v[1], created = tonumber(v[3]), issued = tonumber(v[4]), front = tonumber(v[5]),
    next_at = tonumber(v[6]), last = tonumber(v[7]), rate = tonumber(v[8]), burst = tonumber(v[9]),
    unlimited = v[10] == '1', hold = v[11] == '1', max_active = tonumber(v[12]), lapsed = tonumber(v[13]),
    soon = tonumber(v[14]), released = tonumber(v[15]), soon_at = tonumber(v[16]), gap = tonumber(v[17]),
    phase = v[18] or '', due = tonumber(v[19] or 0), sold_out = v[20] == '1', closes = tonumber(v[21] or 0),
    adopted = tonumber(v[22] or 0), admitted = 0}
  r.now = (CLOCK[1] - r.created) * 1e6 + CLOCK[2]
  r.spacing = 1e6 / r.rate
  return r
end

-- For two seconds after an adoption, or a gap, workers may be putting back what Redis lost: the last one comes as late as
-- that (circuit.py).
local function is_recent(at_ms) return now_ms >= at_ms and now_ms - at_ms < 2000 end

local function save(r)
  redis.call('HSET', STATE, 'issued', whole(r.issued), 'front', whole(r.front), 'next_at', micros(r.next_at),
    'last', micros(r.last))
  if r.admitted > 0 then redis.call('HINCRBY', STATE, 'admitted', r.admitted) end
end
