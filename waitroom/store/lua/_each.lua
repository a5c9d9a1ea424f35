-- Behind a script that was made a function, `step`: several calls of it, one after the other, as one.
-- KEYS  those of each call, one call behind the other
-- ARGV  how many calls, how many keys and how many arguments each has, then their arguments, one call behind the other
-- Reply each call's
local function part(list, from, length)
  local found = {}
  for i = 1, length do found[i] = list[from + i] end
  return found
end

local replies, key, argument = {}, 0, 1 + 2 * ARGV[1]
for call = 1, ARGV[1] do
  local keys, arguments = tonumber(ARGV[2 * call]), tonumber(ARGV[2 * call + 1])
  replies[call] = step(part(KEYS, key, keys), part(ARGV, argument, arguments))
  key, argument = key + keys, argument + arguments
end
return replies
