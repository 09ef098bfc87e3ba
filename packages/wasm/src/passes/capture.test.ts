import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { generate } from './generator.ts'
import { type Run, run } from './test-capture.ts'

/** A third of them for a commit. */
const runs = (count: number): number => (process.env['REPRISE_TESTS'] === 'check' ? count / 3 : count)

const LIMITS = { stackLimitSlots: 1 << 16, memoryLimitPages: 8 }

const seeds = fc.integer({ min: 0, max: 0x7fffffff })
const floats = fc.constantFrom('canonical' as const, 'host' as const)

const languages = fc.option(fc.constantFrom('legacy' as const, 'exnref' as const))

describe('a random program', () => {
  test('goes through the same states when it is captured at every poll, continued here or in a fresh instance', () => {
    fc.assert(
      fc.property(seeds, floats, languages, (seed, profile, language) => {
        const bytes = generate(seed, { canonicalSinks: profile === 'host', signs: true, ...(language && { language }) })
        const options = { floats: profile, ...LIMITS }
        const plain = run(bytes, options, { at: () => 'go' })
        expect(run(bytes, { ...options, capture: true }, { at: () => 'go' })).toEqual(plain)
        const some = Math.min(plain.stops.length, 60)
        const capture = (how: 'capture' | 'move'): Run =>
          run(bytes, { ...options, capture: true }, { at: (stop) => (stop < some ? how : 'go') })
        const continued = capture('capture')
        expect({ ...continued, snapshots: [] }).toEqual(plain)
        const moved = capture('move')
        expect({ ...moved, snapshots: [] }).toEqual(plain)
        expect(moved.snapshots).toEqual(continued.snapshots)
      }),
      { numRuns: runs(12) },
    )
  })

  test('has the same frames at a position whether or not it was captured before', () => {
    fc.assert(
      fc.property(seeds, fc.integer({ min: 2, max: 9 }), languages, (seed, every, language) => {
        const bytes = generate(seed, { canonicalSinks: false, signs: true, ...(language && { language }) })
        const options = { floats: 'canonical', ...LIMITS, capture: true } as const
        const often = run(bytes, options, { at: (stop) => (stop < 50 ? 'capture' : 'go') })
        for (let stop = every; stop < Math.min(50, often.stops.length); stop += every * 7) {
          const once = run(bytes, options, { at: (n) => (n === stop ? 'capture' : 'go') })
          expect(once.snapshots).toEqual([often.snapshots[stop]])
        }
      }),
      { numRuns: runs(15) },
    )
  })
})
