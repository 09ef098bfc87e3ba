/**
 * Fuzzes by hand, or repeats one input.
 *
 *     node test/fuzz/main.ts                                    names the targets
 *     node test/fuzz/main.ts TARGET --seed S --input N          that very input, in this thread, for a debugger
 *     node test/fuzz/main.ts TARGET [--seed S] [--from N] [--count C]
 */
import { parseArgs } from 'node:util'
import { Fuzzer } from './fuzz.ts'
import { randomOf } from './random.ts'
import { targets } from './targets/index.ts'

const option = { type: 'string' } as const
const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { seed: option, input: option, from: option, count: option },
})
const target = targets.find(({ name }) => name === positionals[0])
const seed = Number(values.seed ?? 1)
if (target === undefined) {
  for (const { name, claim } of targets) console.log(`${name.padEnd(14)} ${claim}`)
  process.exitCode = 2
} else if (values.input !== undefined) {
  const check = await target.prepare()
  await check(randomOf(target.name, seed, Number(values.input)))
  console.log('it holds')
} else {
  const range = { target: target.name, seed, from: Number(values.from ?? 0), count: Number(values.count ?? 1000) }
  await using fuzzer = new Fuzzer()
  await fuzzer.fuzz(range)
  console.log(`${range.count} inputs, and it holds of all of them: ${target.claim}`)
}
