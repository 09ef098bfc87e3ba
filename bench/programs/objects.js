const points = []
for (let i = 0; i < 40000; i++) points.push({ x: i % 97, y: (i * 7) % 89, tag: `p${i % 13}` })
const sums = {}
for (let round = 0; round < 100; round++) {
  for (const { x, y, tag } of points) sums[tag] = (sums[tag] || 0) + x * y + round
}
print(JSON.stringify(sums))
