-- Recursion, tables, strings and sorting. Argument: rounds.
local function fib(n)
  if n < 2 then return n end
  return fib(n - 1) + fib(n - 2)
end

for r = 1, tonumber(arg[1]) do
  local numbers = {}
  for i = 1, 20000 do numbers[i] = (i * 7919 + r) % 1000003 end
  table.sort(numbers)
  local counts = {}
  for i = 1, 30000 do
    local key = "k" .. (i % 5000)
    counts[key] = (counts[key] or 0) + i / 3
  end
  local parts = {}
  for i = 1, 10000 do parts[#parts + 1] = string.format("%d:%s", i, ("x"):rep(i % 5)) end
  local digits = 0
  for word in table.concat(parts, ","):gmatch("%d+") do digits = digits + #word end
  print(string.format("round %d %d %d %.17g %d", r - 1, fib(20), numbers[77], counts.k77, digits))
end
