-- Counts the requests of one loop turn. KEYS: one a counter. ARGV: the time in microseconds or 0 for the server's; the
-- number of additions; hits and lifetime in milliseconds of each.
-- Gives back: the time in microseconds, then the count behind each addition, or the error that it met.
local call = redis.pcall
local now = tonumber(ARGV[1])
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local out = {now}
for i = 1, tonumber(ARGV[2]) do
  local hits = ARGV[2 * i + 1]
  local count = call('INCRBY', KEYS[i], hits)
  if count == tonumber(hits) then
    call('PEXPIRE', KEYS[i], ARGV[2 * i + 2])
  end
  out[i + 1] = count
end
return out
