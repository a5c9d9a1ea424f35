-- Change the schedule of a sale, its stock, or whether it is sold out. The phase is brought up to that afterwards.
-- KEYS  state, log, the state of the line of the invited (may not be there)
-- ARGV  generation, who ('shop': by an answer of the shop's, which never takes back that it is sold out, and means no
--       sale to come), digest of the environment ('' = a live change; else nothing happens if it is already in force),
--       the phase that the change is meant for ('*' = any), then fields and values
-- Reply ok, 1 if anything was changed · 'moved' where the phase is another one, 'unsettled' right after an adoption:
--       nothing was changed
local r, refusal = open_room(ARGV[1])
if not r then return refusal end
if ARGV[3] ~= '' and (redis.call('HGET', STATE, 'sale_digest') or '-') == ARGV[3] then return {'ok', 0} end
if is_recent(r.adopted) then return {'unsettled'} end
-- Before a sale the shop's last orders still speak of the one before.
if ARGV[2] == 'shop' and (r.sold_out or r.phase == 'before') then return {'ok', 0} end
if ARGV[4] ~= '*' and r.phase ~= ARGV[4] then return {'moved'} end
if ARGV[3] ~= '' then redis.call('HSET', STATE, 'sale_digest', ARGV[3]) end

local said, sells_out = {}, false
for i = 5, #ARGV, 2 do
  redis.call('HSET', STATE, ARGV[i], ARGV[i + 1])
  said[#said + 1] = ARGV[i] .. '=' .. ARGV[i + 1]
  if ARGV[i] == 'sold_out' then sells_out = true end
  -- Of what was before the sale nobody has a place in it, with an invite or without (phase.lua).
  if ARGV[i] == 'phase' and ARGV[i + 1] == 'before' and redis.call('EXISTS', KEYS[3]) == 1 then
    redis.call('HSET', KEYS[3], 'due', 1, 'renew', 1)
  end
end
sale_changed(ARGV[2] ~= 'shop')
-- The shop tells its stock with every order: the log would hold nothing else.
if ARGV[2] ~= 'shop' or sells_out then
  write_log(KEYS[2], 'sale_changed', 'by', ARGV[2],
    'change', table.concat(said, ' '))
end
return {'ok', 1}
