import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { runGuest, type GuestStop, type Stop } from '../machine.ts'
import type { CounterPlace } from './fuel.ts'
import { generate, type GeneratorOptions } from './generator.ts'
import { rewriteWith, type RewriteOptions } from './rewrite.ts'

/** A fifth of them for a commit. */
const runs = (count: number): number => (process.env['REPRISE_TESTS'] === 'check' ? count / 5 : count)

const LIMITS = { stackLimitSlots: 1 << 16, memoryLimitPages: 8 }

interface Outcome {
  readonly end: string
  readonly memory: Uint8Array
  readonly globals: readonly bigint[]
}

/** The module as it is, run by the engine alone. */
function runPlain(seed: number, options: GeneratorOptions): Outcome {
  const bytes = generate(seed, options)
  expect(WebAssembly.validate(bytes)).toBe(true)
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes))
  let end = 'exited'
  try {
    ;(exports['_start'] as () => void)()
  } catch (error) {
    // An exception has the machine's own words for its message.
    end = error instanceof WebAssembly.Exception ? 'an exception that nothing catches' : (error as Error).message
  }
  const memory = exports['memory'] as WebAssembly.Memory
  return { end, memory: new Uint8Array(memory.buffer), globals: [] }
}

interface Run extends Outcome {
  readonly stops: readonly Stop[]
  readonly final: GuestStop
}

function runRewritten(
  bytes: Uint8Array,
  floats: RewriteOptions['floats'],
  counter: CounterPlace,
  nextDue: (position: bigint) => bigint,
): Run {
  const rewritten = rewriteWith(bytes, { floats, ...LIMITS }, counter)
  const stops: Stop[] = []
  const sums: bigint[] = []
  let position = 0n
  let memory: () => Uint8Array = () => new Uint8Array()
  let globals: () => bigint[] = () => []
  const final = runGuest({
    module: new WebAssembly.Module(rewritten.bytes),
    facts: rewritten.facts,
    hostImport: () => undefined,
    nextDue: () => nextDue(position),
    onReady: (guest) => {
      memory = () => guest.memory()
      globals = () => guest.globals().map(({ bits }) => bits)
    },
    onStop: (stop) => {
      stops.push(stop)
      sums.push(...globals())
      position = stop.position
      return 'go'
    },
    isExit: () => undefined,
  })
  const end = final.kind === 'trapped' ? final.message : final.kind
  return { end, memory: memory(), globals: [...sums, ...globals()], stops, final }
}

const languages = fc.constantFrom('legacy' as const, 'exnref' as const)

const never = (): bigint => 1n << 62n
const seeds = fc.integer({ min: 0, max: 0x7fffffff })

describe('rewrite', () => {
  test('keeps what a program computes', () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const plain = runPlain(seed, { canonicalSinks: true, signs: true })
        const bytes = generate(seed, { canonicalSinks: true, signs: true })
        for (const floats of ['host', 'canonical'] as const) {
          const run = runRewritten(bytes, floats, 'measured', never)
          expect(run.end).toBe(plain.end)
          expect(Buffer.compare(run.memory, plain.memory)).toBe(0)
        }
      }),
      { numRuns: runs(150) },
    )
  })

  test('keeps what a program with exceptions, tail calls, references and changing tables computes', () => {
    fc.assert(
      fc.property(seeds, languages, (seed, language) => {
        const options = { canonicalSinks: true, signs: true, language }
        const plain = runPlain(seed, options)
        const bytes = generate(seed, options)
        for (const floats of ['host', 'canonical'] as const) {
          const run = runRewritten(bytes, floats, 'measured', never)
          expect(run.end).toBe(plain.end)
          expect(Buffer.compare(run.memory, plain.memory)).toBe(0)
        }
      }),
      { numRuns: runs(150) },
    )
  })

  test('makes exactly the NaNs canonical that the engine chose', () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const plain = runPlain(seed, { canonicalSinks: true, signs: false })
        const bytes = generate(seed, { canonicalSinks: false, signs: false })
        const run = runRewritten(bytes, 'canonical', 'measured', never)
        expect(run.end).toBe(plain.end)
        expect(Buffer.compare(run.memory, plain.memory)).toBe(0)
      }),
      { numRuns: runs(150) },
    )
  })

  test('gives positions that do not depend on where the counter is kept', () => {
    fc.assert(
      fc.property(seeds, fc.integer({ min: 1, max: 2000 }), fc.option(languages), (seed, grid, language) => {
        const bytes = generate(seed, { canonicalSinks: false, signs: true, ...(language && { language }) })
        const step = (position: bigint): bigint => position + BigInt(grid)
        const [first, ...others] = (['global', 'local', 'measured'] as const).map((counter) =>
          runRewritten(bytes, 'canonical', counter, step),
        )
        for (const other of others) {
          expect(other.stops).toEqual(first.stops)
          expect(other.final).toEqual(first.final)
          expect(other.globals).toEqual(first.globals)
          expect(Buffer.compare(other.memory, first.memory)).toBe(0)
        }
      }),
      { numRuns: runs(100) },
    )
  })

  test('stops at the first site at or after what was wanted, however the fuel was sliced', () => {
    fc.assert(
      fc.property(seeds, fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1 }), (seed, gaps) => {
        const bytes = generate(seed, { canonicalSinks: false, signs: true })
        const sites = runRewritten(bytes, 'host', 'measured', (position) => position + 1n)
        const wanted: bigint[] = []
        const some = runRewritten(bytes, 'host', 'measured', (position) => {
          wanted.push(position + BigInt(gaps[wanted.length % gaps.length]))
          return wanted[wanted.length - 1]
        })
        const positions = sites.stops.map((stop) => stop.position)
        const expected = wanted.map((due) => positions.find((position) => position >= due))
        expect(some.stops.map((stop) => stop.position)).toEqual(expected.filter((position) => position !== undefined))
        if (sites.final.kind === 'exited') expect(some.final).toEqual(sites.final)
      }),
      { numRuns: runs(100) },
    )
  })
})
