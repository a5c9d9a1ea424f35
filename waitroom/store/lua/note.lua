-- Add to the findings: what operators should know of, and how often it happened.
-- KEYS  state (unused), findings
-- ARGV  '', the most findings, then finding and times of each
-- Reply ok. Findings beyond the most are counted together as 'other'.
for i = 3, #ARGV, 2 do
  local what = ARGV[i]
  if redis.call('HEXISTS', KEYS[2], what) == 0 and redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[2]) then what = 'other' end
  redis.call('HINCRBY', KEYS[2], what, ARGV[i + 1])
end
redis.call('PEXPIRE', KEYS[2], 86400000)
return {'ok'}
