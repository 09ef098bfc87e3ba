-- Works for a while inside what catches errors, in a coroutine, so that a snapshot has all of that in its stack.
local function work(rounds)
  return coroutine.wrap(function()
    for round = 1, rounds do
      local ok, message = pcall(function()
        local t = {}
        for i = 1, 30000 do t[i] = (i * round * 7919) % 10007 end
        table.sort(t)
        local sum = 0
        for i = 1, #t do sum = (sum * 31 + t[i]) % 1000003 end
        error(('round %d %d'):format(round, sum), 0)
      end)
      coroutine.yield(not ok and message)
    end
  end)
end
local sums = io.open('sums.txt', 'w')
for line in work(tonumber(arg[1])) do
  print(line)
  sums:write(line, '\n')
end
sums:close()
