-- What Lua says of itself, in as many ways as fit on a page; nothing here hangs on the machine or on the patch level of 5.4.
print(_VERSION, #arg, arg[0], arg[1])

-- Errors: caught, thrown on, with values, in coroutines, across C.
print(pcall(error, 'plain', 0), select('#', pcall(error)))
print(select(2, pcall(function() local x = nil; return x.y end)))
print(select(2, pcall(error, setmetatable({}, { __tostring = function() return 'an object' end }))))
print(xpcall(function() error('inner', 0) end, function(m) return 'handled ' .. m end))
print(pcall(pcall, error, 'nested'))
print(pcall(table.sort, { 3, 1, 2 }, function() error('in sort', 0) end))
print(pcall(string.gsub, 'abc', 'b', function() error('in gsub', 0) end))
print(select(2, pcall(function() local function f() return 1 + f() end return f() end)):match('stack overflow'))
do
  local closed = setmetatable({}, { __close = function(_, e) print('closed', e) end })
  print(pcall(function() local c <close> = closed; error('leaves', 0) end))
end

-- Coroutines: values in and out, errors, wrap, close, yields over pcall and metamethods.
local co = coroutine.create(function(a, b)
  local c = coroutine.yield(a + b)
  local ok, d = pcall(function() return coroutine.yield(c * 2) + 1 end)
  local t = setmetatable({}, { __index = function(_, k) return coroutine.yield(k) end })
  return ok, d, t.key
end)
print(coroutine.resume(co, 1, 2))
print(coroutine.resume(co, 21))
print(coroutine.resume(co, 9))
print(coroutine.resume(co, 'value'))
print(coroutine.resume(co), coroutine.status(co))
print(type(select(2, pcall(coroutine.wrap(function() error({ 1 }) end)))))
local function primes(n)
  return coroutine.wrap(function()
    for i = 2, n do
      local is = true
      for j = 2, i // 2 do if i % j == 0 then is = false break end end
      if is then coroutine.yield(i) end
    end
  end)
end
local found = {}
for p in primes(50) do found[#found + 1] = p end
print(table.concat(found, ' '))

-- Numbers and text.
print(7 // 2, -7 // 2, 7 % -3, 7.5 // 2, 2 ^ 53, 1 << 62, 1 << 64, math.maxinteger + 1 == math.mininteger, 3 | 4.0)
print(0.1, 1e100, -0.0, 1 / 0, 100, 1e15, 123456.789e3, string.format('%a %.3f %g %5d|%-5s|%q', 1 / 3, 2 / 3, 1e20, 42, 'x', 'a\n\0b'))
print(math.type(1), math.type(1.0), math.tointeger('8'), math.ult(-1, 1), math.fmod(-7, 3), tostring(2 ^ 31), 10 // 0.0)
print(('hello world'):gsub('o', '0'), ('key = value'):match('(%w+)%s*=%s*(%w+)'), ('%d'):rep(3, ','), ('abc'):reverse():upper())
print(utf8.char(228, 8364, 128512), utf8.len('äöü'), #utf8.char(128512), pcall(utf8.codepoint, '\xff'))
for w, n in ('one=1, two=2'):gmatch('(%w+)=(%w+)') do io.write(w, ':', n, ' ') end
print(string.pack('>I4 s1', 7, 'xyz'):byte(1, -1))
print(load('return 1 +')) print(load('return ...', 'chunk', 't')(5)) print(tostring(nil) .. tostring(true))

-- Tables.
local t = {}
for i = 1, 200 do t[i] = (i * 7919) % 211 end
table.sort(t) print(t[1], t[100], t[200], #t, select('#', table.unpack(t, 1, 150)))
print(table.concat(table.move({ 1, 2, 3 }, 1, 3, 2), ','), next({}), rawlen({ 1, 2 }), rawequal(t, t))
local log = {}
local proxy = setmetatable({}, { __newindex = function(_, k, v) log[#log + 1] = k .. '=' .. v end, __call = function(_, x) return x end })
proxy.a = 1 proxy.b = 2 print(table.concat(log, ' '), proxy(3))
for i = 3, 1, -1 do if i == 2 then goto continue end io.write(i, ' ') ::continue:: end print()
collectgarbage() print(collectgarbage('count') > 0)

-- Files.
local out = assert(io.open('out.txt', 'w')) out:write('x=', 1.5, '\nsecond\n') out:close()
for line in io.lines('out.txt') do io.write('[', line, ']') end print()
local f = io.tmpfile() f:write('hello ', 42) f:seek('set') print(f:read('a'), f:seek('end')) f:close()
print(io.type(f), (io.open('none.txt')), (select(2, io.open('none.txt'))))
print(os.rename('out.txt', 'named.txt'), (os.remove('none.txt')), os.date('!%Y-%m-%d %H:%M:%S', 86399), os.time({ year = 2000, month = 1, day = 1, hour = 12 }))
print(require('double')(21), package.loaded.double ~= nil)
print((select(2, pcall(require, 'nothing')):match("module 'nothing' not found")))
