-- Move the front, publish the table, and only then keep the lease.
-- KEYS  state, lease, table, active, ghosts, then (claims, claimed) of each chunk with turns that had not lapsed, up to
--       the front's
-- ARGV  generation, worker, front, lapsed, soon, how long claims are kept once the last turn in them lapsed (ms), of how
--       many chunks that is so now, table, its version
-- Reply ok · 'lost' without the lease · 'gap' after 5 s without a release: nothing moved, absence has to be found anew
--       · 'refused' for a front beyond issued. The front never goes back.
local r, refusal = open_room(ARGV[1])
if not r then return refusal end
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return {'lost'} end
local front, lapsed = tonumber(ARGV[3]), tonumber(ARGV[4])
if front > r.issued then return {'refused'} end

local since = now_ms - r.released
redis.call('HSET', STATE, 'released', whole(now_ms))
if since > 5000 or since < -5000 then
  redis.call('HSET', STATE, 'gap', whole(now_ms))
  redis.call('SET', KEYS[2], ARGV[2], 'PX', 2000)
  return {'gap'}
end

-- A sale that closed, or sold out, since the caller looked: nobody is called, and nothing is said of it.
local may_admit = admits(r) and not is_due(r)
if not may_admit and front > r.front then
  redis.call('SET', KEYS[2], ARGV[2], 'PX', 2000)
  return {'ok'}
end

-- Nobody is called while the meter stands far ahead, and nobody claims who is not called: a clock that went back is
-- found here.
local next_at = r.next_at
free_at(r)
if r.next_at ~= next_at then redis.call('HSET', STATE, 'next_at', micros(r.next_at)) end

-- The clock of turn_held runs only while a claim could have succeeded.
local full = r.max_active > 0 and seats_taken(KEYS[4], KEYS[5]) >= r.max_active
if not r.hold and not full and since > 0 and since <= 1000 and may_admit then
  redis.call('HINCRBY', STATE, 'usable', whole(since))
end

redis.call('HSET', STATE, 'front', whole(math.max(front, r.front)), 'lapsed', whole(math.max(lapsed, r.lapsed)),
  'soon', ARGV[5], 'soon_at', whole(now_ms), 'table_version', ARGV[9])
-- In a sale that has closed the last turn is over.
if r.phase == 'draining' and front >= r.issued and lapsed >= r.issued then redis.call('HSET', STATE, 'due', 1) end
redis.call('SET', KEYS[3], ARGV[8], 'PX', 3600000)
for i = 6, #KEYS do redis.call('PEXPIRE', KEYS[i], i < 6 + 2 * ARGV[7] and ARGV[6] or CLAIMS_KEPT) end
redis.call('SET', KEYS[2], ARGV[2], 'PX', 2000)
return {'ok'}
