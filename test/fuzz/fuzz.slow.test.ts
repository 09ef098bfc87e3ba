import { afterAll, expect, test } from 'vitest'
import { Fuzzer } from './fuzz.ts'
import { targets } from './targets/index.ts'

const SEED = 20261126
const INPUTS_MIN = 10_000

const fuzzer = new Fuzzer()
afterAll(() => fuzzer[Symbol.asyncDispose]())

test('ten thousand inputs at least', () => {
  expect(targets.reduce((sum, { byDay }) => sum + byDay, 0)).toBeGreaterThanOrEqual(INPUTS_MIN)
})

test.each(targets)('$name: $claim', async ({ name, byDay }) => {
  await fuzzer.fuzz({ target: name, seed: SEED, from: 0, count: byDay })
})
