# Queens on a board, hashes and sorting. Argument: rounds.
$stdout.sync = true

def place(n, row = 0, columns = 0, left = 0, right = 0)
  return 1 if row == n
  count = 0
  n.times do |c|
    bit = 1 << c
    next if (columns | left | right) & bit != 0
    count += place(n, row + 1, columns | bit, (left | bit) << 1, (right | bit) >> 1)
  end
  count
end

ARGV[0].to_i.times do |r|
  count = place(6 + r % 2)
  words = Hash.new(0)
  15_000.times { |i| words["w#{i * 7919 % 1009}"] += Math.sqrt(i + r) }
  best = words.max_by { |word, sum| [sum, word] }
  $stdout.write("round #{r} #{count} #{best.inspect}\n")
end
