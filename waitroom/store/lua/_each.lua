-- Behind a script that was made a function, `step`: several calls of it, one after the other, as one.
-- KEYS  those of each call, one call behind the other
-- ARGV  how many calls, how many keys and how many arguments each has, then their arguments, one call behind the other
-- Reply each call's, or its error; the first one's error alone where all of them fail
local function part(list, from, length)
  local found = {}
  for i = 1, length do found[i] = list[from + i] end
  return found
end

local replies, key, argument, failed = {}, 0, 1 + 2 * ARGV[1], 0
for call = 1, ARGV[1] do
  local keys, arguments = tonumber(ARGV[2 * call]), tonumber(ARGV[2 * call + 1])
  local is_done, reply = pcall(step, part(KEYS, key, keys), part(ARGV, argument, arguments))
  if not is_done then
    failed = failed + 1
    reply = type(reply) == 'table' and reply or redis.error_reply(reply)
  end
  replies[call], key, argument = reply, key + keys, argument + arguments
end
return failed == #replies and replies[1] or replies
