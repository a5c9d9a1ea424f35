-- A fresh room, once nobody who remembers an older one has come forward for a while.
-- KEYS  state, init, log
-- ARGV  '', generation, wait (ms), then fields and values of the limits
-- Reply 'ok' created · 'exists' · 'wait'
if redis.call('EXISTS', STATE) == 1 then return {'exists'} end
local wait_ms = tonumber(ARGV[3])
if wait_ms > 0 then
  local since = redis.call('GET', KEYS[2])
  if not since then
    redis.call('SET', KEYS[2], whole(now_ms), 'PX', 5000)
    return {'wait'}
  end
  if now_ms - tonumber(since) < wait_ms then return {'wait'} end
end
redis.call('HSET', STATE, 'version', 1, 'generation', ARGV[2], 'ordinal', 1, 'server', server_id(),
  'created', CLOCK[1], 'issued', 0, 'front', 0, 'next_at', 0, 'last', 0, 'lapsed', 0, 'soon', 0, 'soon_at', 0,
  'usable', 0, 'on_the_spot', 0, 'confirmed', 0, 'admitted', 0, 'released', whole(now_ms), 'gap', 0,
  'holes', '', 'hole', 0, 'hole_end', 0, 'changed', 0, 'change', '', 'table_version', '', 'message', '', 'digest', '')
for i = 4, #ARGV, 2 do redis.call('HSET', STATE, ARGV[i], ARGV[i + 1]) end
write_log(KEYS[3], 'room_created', 'generation', ARGV[2])
return {'ok'}
