-- Counts the requests of one loop turn. The formulas are those of `borderpost_ratelimit.algorithms`, whose names are
-- used here; what is written there of arithmetic holds here.
-- The constants in capitals are set by `script.py`.
--
-- KEYS  one counter an addition, then one a charge
-- ARGV  time in microseconds; or, negative, until when the server's own time may be taken
--       count of additions · hits and lifetime (ms) of each
--       count of requests · of each: count of charges · of each: kind, phase, binding (1 or 0), hits, and
--         f  amount, lifetime (ms)
--         s  amount, window
--         b  amount, window, ticks a microsecond, ticks a hit, capacity in ticks
--         c  amount, window, name of the request
--         g  amount, window, how long a reservation's name is known, name of the request
--
-- Gives back the time, the count behind each addition, and of each charge: over (1 or 0) and three numbers
--         f  count, 0, 0
--         s  current, previous, time left of the window
--         b  level, 0, 0
--         c  sum of the leases, time until the newest ends, time until the oldest ends
--         g  used, time left of the window, 0
-- A number is an error reply where the server could not do what it takes. All of it is `STALE` and the time, with nothing
-- counted, where the server has come to read this too late.
local call = redis.pcall
local now = tonumber(ARGV[1])
if now < 0 then
  local latest, time = -now, redis.call('TIME')
  now = time[1] * 1000000 + time[2]
  if now > latest then
    return redis.error_reply('STALE ' .. string.format('%.0f', now))
  end
end
local out = {now}
local additions = tonumber(ARGV[2])

local function failed(reply)
  return type(reply) == 'table' and reply.err ~= nil
end

for i = 1, additions do
  local hits = ARGV[2 * i + 1]
  local count = call('INCRBY', KEYS[i], hits)
  if count == tonumber(hits) then
    call('PEXPIRE', KEYS[i], ARGV[2 * i + 2])
  elseif failed(count) and string.find(count.err, 'overflow', 1, true) then
    count = COUNT_MAX
  end
  out[i + 1] = count
end
local at = 2 * additions + 3
local requests = tonumber(ARGV[at])
if requests == 0 then
  return out
end

local floor, ceil, max, min = math.floor, math.ceil, math.max, math.min
local pack, unpack = struct.pack, struct.unpack

local function stands(last, window)
  if now < last and last <= now + window then
    return last
  end
  return now
end

local function lifetime_ms(until_us)
  return string.format('%.0f', floor((max(until_us - now, 0) + GRACE_US) / 1000))
end

local function counted(count, hits)
  return min(max(count + hits, 0), COUNT_MAX)
end

local kinds = {}

-- Fixed windows: charged at once.
local function fixed(charge)
  local amount, hits, phase, count = charge.amount, charge.hits, charge.phase, nil
  if phase == 'l' or hits < 0 then
    count = call('GET', charge.key)
    if failed(count) then
      return count
    end
    count = tonumber(count or 0)
    local back = phase == 'l' and 0 or min(count, -hits)
    if back > 0 then
      count = call('DECRBY', charge.key, string.format('%.0f', back))
    end
  else
    count = call('INCRBY', charge.key, string.format('%.0f', hits))
    if count == hits then
      call('PEXPIRE', charge.key, charge.lifetime)
    end
  end
  if failed(count) then
    if not string.find(count.err, 'overflow', 1, true) then
      return count
    end
    count = COUNT_MAX
  end
  charge.told = {count, 0, 0}
  charge.over = phase ~= 'd' and count + (phase == 'l' and max(hits, 1) or 0) > amount
end

-- Sliding windows.
kinds.s = {
  read = function(charge, at)
    charge.window = tonumber(ARGV[at])
    return at + 1
  end,
  load = function(charge)
    local window = charge.window
    local kept = call('GET', charge.key)
    if failed(kept) then
      return kept
    end
    local state = {pending = 0, window = window, current = 0, previous = 0}
    local time = now
    if kept then
      local start
      start, state.current, state.previous = unpack('<ddd', kept)
      time = stands(start, window)
      local turned = time - time % window
      if turned > start then
        state.previous = turned == start + window and state.current or 0
        state.current = 0
      end
      state.start = turned
    else
      state.start = now - now % window
    end
    state.left = state.start + window - time
    return state
  end,
  used = function(state)
    return state.current + ceil(state.previous * (state.left / state.window))
  end,
  charge = function(state, charge)
    state.current = counted(state.current, charge.hits)
    local kept = pack('<ddd', state.start, state.current, state.previous)
    return call('SET', charge.key, kept, 'PX', lifetime_ms(state.start + 2 * state.window))
  end,
  tell = function(state)
    return {state.current, state.previous, state.left}
  end,
}

-- Token buckets.
kinds.b = {
  read = function(charge, at)
    charge.window, charge.ticks = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
    charge.hit_ticks, charge.capacity = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
    return at + 4
  end,
  over = function(state, charge, hits)
    return state.level + (state.pending + hits) * charge.hit_ticks > charge.capacity
  end,
  load = function(charge)
    local kept = call('GET', charge.key)
    if failed(kept) then
      return kept
    end
    local state = {pending = 0, level = 0, last = now}
    if kept then
      local last
      state.level, last = unpack('<dd', kept)
      state.last = stands(last, charge.window)
      if state.last > last then
        state.level = max(state.level - (state.last - last) * charge.ticks, 0)
      end
    end
    return state
  end,
  charge = function(state, charge)
    state.level = counted(state.level, charge.hits * charge.hit_ticks)
    local full = state.last + ceil(state.level / charge.ticks)
    return call('SET', charge.key, pack('<dd', state.level, state.last), 'PX', lifetime_ms(full))
  end,
  tell = function(state)
    return {state.level, 0, 0}
  end,
}

-- What requests hold: a hash of the state, one field a hold and one a name; links by number, 0 for none.
local function hold_at(charge, number)
  if number == 0 then
    return nil
  end
  local kept = call('HGET', charge.key, 'i' .. number)
  if not kept or failed(kept) then
    return nil
  end
  local hold = {number = number}
  local rest
  hold.till, hold.weight, hold.start, hold.older, hold.newer, hold.same, rest = unpack('<dddddd', kept)
  hold.name = string.sub(kept, rest)
  return hold
end

local function keep_hold(charge, hold)
  local kept = pack('<dddddd', hold.till, hold.weight, hold.start, hold.older, hold.newer, hold.same)
  return call('HSET', charge.key, 'i' .. hold.number, kept .. hold.name)
end

local function keep_state(charge, state)
  local kept = pack('<dddddd', state.used, state.start, state.size, state.count, state.oldest, state.newest)
  return call('HSET', charge.key, 's', kept)
end

local function remove_hold(charge, state, hold, last)
  local older, newer = hold_at(charge, hold.older), hold_at(charge, hold.newer)
  if older then
    older.newer = hold.newer
    keep_hold(charge, older)
  else
    state.oldest = hold.newer
  end
  if newer then
    newer.older = hold.older
    keep_hold(charge, newer)
  else
    state.newest = hold.older
  end
  if hold.same == 0 then
    call('HDEL', charge.key, 'i' .. hold.number, 'n' .. hold.name)
  else
    call('HDEL', charge.key, 'i' .. hold.number)
    call('HSET', charge.key, 'n' .. hold.name, pack('<dd', hold.same, last))
  end
  state.size = state.size - 1
end

local function named(charge, name)
  local kept = call('HGET', charge.key, 'n' .. name)
  if kept and not failed(kept) then
    return unpack('<dd', kept)
  end
end

local function release(charge, state)
  local first, last = named(charge, charge.name)
  local hold = first and hold_at(charge, first)
  if hold then
    remove_hold(charge, state, hold, last)
  end
  return hold
end

local function add_hold(charge, state, weight, till)
  local number = state.count + 1
  state.count = number
  keep_hold(charge, {
    number = number, till = till, weight = weight, start = state.start,
    older = state.newest, newer = 0, same = 0, name = charge.name,
  })
  local newest = hold_at(charge, state.newest)
  if newest then
    newest.newer = number
    keep_hold(charge, newest)
  else
    state.oldest = number
  end
  state.newest = number
  local first, last = named(charge, charge.name)
  if first then
    local before = hold_at(charge, last)
    if before then
      before.same = number
      keep_hold(charge, before)
    end
  end
  call('HSET', charge.key, 'n' .. charge.name, pack('<dd', first or number, number))
  state.size = state.size + 1
end

local function expire(charge, state, time)
  local weight = 0
  local hold = hold_at(charge, state.oldest)
  local left = HOLDS_EXPIRED_MAX
  while hold and hold.till <= time and left > 0 do
    left = left - 1
    weight = weight + hold.weight
    local _, last = named(charge, hold.name)
    remove_hold(charge, state, hold, last)
    hold = hold_at(charge, state.oldest)
  end
  return weight
end

local function shorten(charge, state, till)
  local hold = hold_at(charge, state.newest)
  while hold and hold.till > till do
    hold.till = till
    keep_hold(charge, hold)
    hold = hold_at(charge, hold.older)
  end
end

local function holds_of(charge)
  local kept = call('HGET', charge.key, 's')
  if failed(kept) then
    return kept
  end
  local state = {pending = 0, used = 0, start = now - now % charge.window, size = 0, count = 0, oldest = 0, newest = 0}
  if kept then
    state.used, state.start, state.size, state.count, state.oldest, state.newest = unpack('<dddddd', kept)
  end
  return state
end

-- Concurrency.
local function newest_till(charge, state)
  local newest = hold_at(charge, state.newest)
  return newest and newest.till
end

kinds.c = {
  read = function(charge, at)
    charge.window, charge.name = tonumber(ARGV[at]), ARGV[at + 1]
    return at + 2
  end,
  used = function(state)
    return state.used
  end,
  load = function(charge)
    local state = holds_of(charge)
    if failed(state) then
      return state
    end
    state.time = now
    local till = newest_till(charge, state)
    if till then
      state.time = stands(till - charge.window, charge.window)
      if till - state.time > charge.window then
        shorten(charge, state, state.time + charge.window)
      end
      local size = state.size
      state.used = state.used - expire(charge, state, state.time)
      if state.size ~= size then
        keep_state(charge, state)
      end
    end
    return state
  end,
  charge = function(state, charge)
    local till = state.time + charge.window
    if charge.hits < 0 then
      return kinds.c.done(state, charge)
    end
    add_hold(charge, state, charge.hits, till)
    state.used = state.used + charge.hits
    local reply = keep_state(charge, state)
    call('PEXPIRE', charge.key, lifetime_ms(till))
    return reply
  end,
  done = function(state, charge)
    local lease = release(charge, state)
    if lease then
      state.used = state.used - lease.weight
      return keep_state(charge, state)
    end
  end,
  tell = function(state, charge)
    local newest, oldest = newest_till(charge, state), hold_at(charge, state.oldest)
    return {state.used, newest and max(newest - state.time, 0) or 0,
      oldest and max(oldest.till - state.time, 0) or 0}
  end,
}

-- Budgets.
local function keep_budget(charge, state)
  local reply = keep_state(charge, state)
  local till = max(newest_till(charge, state) or 0, state.start + charge.window)
  call('PEXPIRE', charge.key, lifetime_ms(till))
  return reply
end

kinds.g = {
  read = function(charge, at)
    charge.window, charge.known, charge.name = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), ARGV[at + 2]
    return at + 3
  end,
  used = function(state)
    return state.used
  end,
  load = function(charge)
    local state = holds_of(charge)
    if failed(state) then
      return state
    end
    local window = charge.window
    local time = stands(state.start, window)
    if now - state.start >= 0 and now - state.start < window then
      time = now
    end
    local turned = time - time % window
    if turned > state.start then
      state.used = 0
    elseif turned < state.start then
      shorten(charge, state, time + charge.known)
    end
    state.start = turned
    state.left = turned + window - time
    state.time = time
    local size = state.size
    expire(charge, state, time)
    if state.size ~= size then
      keep_state(charge, state)
    end
    return state
  end,
  charge = function(state, charge)
    state.used = counted(state.used, charge.hits)
    if charge.hits > 0 then
      add_hold(charge, state, charge.hits, state.time + charge.known)
    end
    return keep_budget(charge, state)
  end,
  done = function(state, charge)
    local hits = charge.hits
    local reservation = release(charge, state)
    if not reservation and hits <= 0 and state.used == 0 then
      return
    end
    if reservation then
      hits = hits - reservation.weight
      if hits < 0 and reservation.start ~= state.start then
        hits = 0
      end
    end
    state.used = counted(state.used, hits)
    return keep_budget(charge, state)
  end,
  tell = function(state)
    return {state.used, state.left, 0}
  end,
}

local function over(charge, hits)
  local kind, state = charge.kind, charge.state
  if hits < 0 then
    return false
  end
  if kind.over then
    return kind.over(state, charge, max(hits, 1))
  end
  if charge.holds and state.size >= HOLDS_MAX and hits > 0 then
    return true
  end
  return kind.used(state) + state.pending + max(hits, 1) > charge.amount
end

-- Fixed windows and ends in any case, and at once; the others at the end, if no binding charge is over.
local function first_pass(charge, states)
  local letter = ARGV[at]
  charge.key, charge.phase, charge.binding = KEYS[charge.place], ARGV[at + 1], ARGV[at + 2] == '1'
  charge.hits, charge.amount = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  at = at + 5
  if letter == 'f' then
    charge.lifetime = ARGV[at]
    at = at + 1
    return fixed(charge)
  end
  local kind = kinds[letter]
  charge.kind = kind
  charge.holds = letter == 'c' or letter == 'g'
  at = kind.read(charge, at)
  local state = states[charge.key] or kind.load(charge)
  if failed(state) then
    return state
  end
  states[charge.key], charge.state = state, state
  if charge.phase == 'd' then
    local reply = (kind.done or kind.charge)(state, charge)
    charge.over = false
    charge.told = kind.tell(state, charge)
    return reply
  end
  if charge.phase == 'l' then
    charge.over = over(charge, max(charge.hits, 1))
    charge.told = kind.tell(state, charge)
    return
  end
  charge.over = over(charge, charge.hits)
  if charge.hits > 0 and not charge.over then
    state.pending = state.pending + charge.hits
  end
end

local function second_pass(charge, refused)
  if not charge.told then
    local reply
    if not refused and not charge.over and charge.hits ~= 0 then
      reply = charge.kind.charge(charge.state, charge)
    end
    charge.told = charge.kind.tell(charge.state, charge)
    return reply
  end
end

local place = additions
at = at + 1
for _ = 1, requests do
  local charges, states, refused, broken = {}, {}, false, nil
  local count = tonumber(ARGV[at])
  at = at + 1
  for i = 1, count do
    place = place + 1
    local charge = {place = place}
    local reply = first_pass(charge, states)
    broken = broken or failed(reply) and reply
    refused = refused or (charge.over and charge.binding)
    charges[i] = charge
  end
  for i = 1, count do
    local charge = charges[i]
    local reply = not broken and second_pass(charge, refused)
    broken = broken or failed(reply) and reply
  end
  for i = 1, count do
    local charge = charges[i]
    local n = #out
    if broken then
      out[n + 1], out[n + 2], out[n + 3], out[n + 4] = broken, 0, 0, 0
    else
      local told = charge.told
      out[n + 1], out[n + 2], out[n + 3], out[n + 4] = charge.over and 1 or 0, told[1], told[2], told[3]
    end
  end
end
return out
