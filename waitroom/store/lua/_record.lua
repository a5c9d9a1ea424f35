-- Shared by every script, after _room.lua: what a call leaves behind: counts, the log, its answer.

local function count(minute, field, by)
  if by > 0 then
    redis.call('HINCRBY', minute, field, by)
    redis.call('PEXPIRE', minute, 7200000)
  end
end

-- What operators read of what was done to the room.
local function write_log(log, event, ...)
  redis.call('XADD', log, 'MAXLEN', '~', '1000', '*', 'event', event, ...)
end

-- A call carries an id; a retry is answered from here, not executed again. The last of three tries has ended 15 s after
-- the first.
local REPLY_KEPT = 20000
local function answered(key)
  local kept = redis.call('GET', key)
  return kept and cmsgpack.unpack(kept)
end
local function answer(key, reply)
  redis.call('SET', key, cmsgpack.pack(reply), 'PX', REPLY_KEPT)
  return reply
end
