import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { runGuest, type GuestStop, type Snapshot } from '../machine.ts'
import { decodeFrames, encodeFrames } from '../state/index.ts'
import { Continuations } from './continuations.ts'
import { generate } from './generator.ts'
import { rewrite, type RewriteOptions } from './rewrite.ts'

const LIMITS = { stackLimitSlots: 1 << 16, memoryLimitPages: 8 }

/** What can be seen of a guest at a stop. */
interface Seen {
  readonly position: bigint
  readonly memory: number
  readonly globals: readonly bigint[]
}

interface Run {
  readonly end: GuestStop
  readonly stops: readonly Seen[]
  readonly last: Seen
  readonly snapshots: readonly Snapshot[]
}

interface Way {
  /** Whether to capture at the stop with this number, and how to go on. */
  readonly at: (stop: number) => 'go' | 'capture' | 'move'
  readonly from?: Snapshot
  readonly grid?: bigint
}

/** Runs a guest with a stop at every poll; `move` goes on in a fresh instance. */
function run(bytes: Uint8Array, options: RewriteOptions, way: Way): Run {
  const { bytes: rewritten, facts } = rewrite(bytes, options)
  const module = new WebAssembly.Module(rewritten)
  const continuations = options.capture === true ? new Continuations(bytes, options) : undefined
  const stops: Seen[] = []
  const snapshots: Snapshot[] = []
  let from = way.from
  for (;;) {
    let see = (): Seen => ({ position: 0n, memory: 0, globals: [] })
    let position = from?.position ?? 0n
    let answer: 'go' | 'capture' | 'move' = 'go'
    const end = runGuest({
      module,
      facts,
      hostImport: () => undefined,
      nextDue: () => position + (way.grid ?? 1n),
      onReady: (guest) => {
        see = () => ({
          position: guest.position(),
          memory: digest(guest.memory()),
          globals: guest.globals().map(({ bits }) => bits),
        })
      },
      onStop: (stop) => {
        position = stop.position
        stops.push(see())
        answer = way.at(stops.length - 1)
        return answer === 'move' ? 'capture' : answer
      },
      ...(continuations === undefined ? {} : { continuations }),
      onCapture: (activations, guest) => {
        snapshots.push({
          activations,
          memory: guest.memory().slice(),
          globals: guest.globals(),
          position: guest.position(),
        })
        expect(see()).toEqual(stops.at(-1))
        return answer === 'move' ? 'suspend' : 'go'
      },
      ...(from === undefined ? {} : { from }),
      isExit: () => undefined,
    })
    const last = see()
    if (end.kind !== 'suspended') return { end, stops, last, snapshots }
    const snapshot = snapshots[snapshots.length - 1]
    from = { ...snapshot, activations: decodeFrames(encodeFrames(snapshot.activations)) }
  }
}

function digest(memory: Uint8Array): number {
  let sum = 0
  const words = new Int32Array(memory.buffer, 0, memory.length / 4)
  for (let i = 0; i < words.length; i++) sum = (Math.imul(sum, 31) + words[i]) | 0
  return sum
}

const seeds = fc.integer({ min: 0, max: 0x7fffffff })
const floats = fc.constantFrom('canonical' as const, 'host' as const)

describe('a random program', () => {
  test('goes through the same states when it is captured at every poll, continued here or in a fresh instance', () => {
    fc.assert(
      fc.property(seeds, floats, (seed, profile) => {
        const bytes = generate(seed, { canonicalSinks: profile === 'host', signs: true })
        const options = { floats: profile, ...LIMITS }
        const plain = run(bytes, options, { at: () => 'go' })
        expect(run(bytes, { ...options, capture: true }, { at: () => 'go' })).toEqual(plain)
        const some = Math.min(plain.stops.length, 200)
        const capture = (how: 'capture' | 'move'): Run =>
          run(bytes, { ...options, capture: true }, { at: (stop) => (stop < some ? how : 'go') })
        const continued = capture('capture')
        expect({ ...continued, snapshots: [] }).toEqual(plain)
        const moved = capture('move')
        expect({ ...moved, snapshots: [] }).toEqual(plain)
        expect(moved.snapshots).toEqual(continued.snapshots)
      }),
      { numRuns: 25 },
    )
  })

  test('has the same frames at a position whether or not it was captured before', () => {
    fc.assert(
      fc.property(seeds, fc.integer({ min: 2, max: 9 }), (seed, every) => {
        const bytes = generate(seed, { canonicalSinks: false, signs: true })
        const options = { floats: 'canonical', ...LIMITS, capture: true } as const
        const often = run(bytes, options, { at: (stop) => (stop < 100 ? 'capture' : 'go') })
        for (let stop = every; stop < Math.min(100, often.stops.length); stop += every * 7) {
          const once = run(bytes, options, { at: (n) => (n === stop ? 'capture' : 'go') })
          expect(once.snapshots).toEqual([often.snapshots[stop]])
        }
      }),
      { numRuns: 25 },
    )
  })
})
