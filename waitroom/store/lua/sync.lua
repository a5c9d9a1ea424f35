-- What a worker says and hears four times a second, in one call.
-- KEYS  state, lease, table, active, door, asked, workers, scratch, ended, ghosts, then the beats
-- ARGV  generation, worker, wants the lease (1/0), table version known, provisional passes seen again, how long a
--       beat is kept (ms), since when passes that ended early are asked for (ms), how long those are kept (ms), how many
--       renewals, then per renewal: member of active, its new end (ms; 0 ends the pass and gives the seat back); then
--       per beat: offset (bytes), bits
-- Reply ok, now (ms), holder (1/0), seats, door, live workers (a list), passes ended early since then (a list), table or
--       '', then the state's fields and values
local r, refusal = open_room(ARGV[1])
if not r then return refusal end
-- A worker is named <id>:<ids of its keys>; the lease by the id.
local worker, lease = ARGV[2], string.match(ARGV[2], '^[^:]*')
local renewals = tonumber(ARGV[9])

local back = 0
for i = 10, 9 + 2 * renewals, 2 do
  if ARGV[i + 1] == '0' then
    redis.call('ZREM', KEYS[4], ARGV[i])
    redis.call('ZADD', KEYS[9], now_ms, ARGV[i])
    redis.call('PEXPIRE', KEYS[9], ARGV[8])
  elseif not redis.call('ZSCORE', KEYS[9], ARGV[i]) then
    back = back + keep_seat(KEYS[4], ARGV[i], ARGV[i + 1])
  end
end
if renewals > 0 then redis.call('PEXPIRE', KEYS[4], ACTIVE_KEPT) end
local ghosts = back > 0 and ghost_seats(KEYS[10]) or 0
if ghosts > 0 then redis.call('HSET', KEYS[10], 'seats', whole(math.max(0, ghosts - back))) end

if ARGV[5] ~= '0' then redis.call('HINCRBY', STATE, 'confirmed', ARGV[5]) end

local beat = 11
for i = 10 + 2 * renewals, #ARGV, 2 do
  redis.call('SETRANGE', KEYS[8], ARGV[i], ARGV[i + 1])
  redis.call('BITOP', 'OR', KEYS[beat], KEYS[beat], KEYS[8])
  redis.call('PEXPIRE', KEYS[beat], ARGV[6])
  redis.call('DEL', KEYS[8])
  beat = beat + 1
end

redis.call('ZREMRANGEBYSCORE', KEYS[7], '-inf', now_ms - 5000)
redis.call('ZADD', KEYS[7], now_ms, worker)
redis.call('PEXPIRE', KEYS[7], 60000)
if ARGV[3] == '1' then redis.call('SET', KEYS[2], lease, 'PX', 2000, 'NX') end
tidy_door(KEYS[5], KEYS[6])

redis.call('ZREMRANGEBYSCORE', KEYS[9], '-inf', now_ms - tonumber(ARGV[8]))
local seats = seats_taken(KEYS[4], KEYS[10])
local state = redis.call('HGETALL', STATE)
local version = redis.call('HGET', STATE, 'table_version')
local reply = {'ok', now_ms, redis.call('GET', KEYS[2]) == lease and 1 or 0, seats, redis.call('ZCARD', KEYS[5]),
  redis.call('ZRANGE', KEYS[7], 0, -1), redis.call('ZRANGEBYSCORE', KEYS[9], ARGV[7], '+inf'),
  version ~= ARGV[4] and redis.call('GET', KEYS[3]) or ''}
for i = 1, #state do reply[#reply + 1] = state[i] end
return reply
