// Objects, strings and a sum by tag. Argument: rounds.
import * as std from 'std'

const points = []
for (let i = 0; i < 10000; i++) points.push({ x: i % 97, y: (i * 7) % 89, tag: `p${i % 13}` })
const sums = {}
for (let round = 0; round < Number(args[1]); round++) {
  for (let turn = 0; turn < 30; turn++) {
    for (const { x, y, tag } of points) sums[tag] = (sums[tag] || 0) + x * y + turn
  }
  std.out.puts(`round ${round} ${JSON.stringify(sums)}\n`)
  std.out.flush()
}
