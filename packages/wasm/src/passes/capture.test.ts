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
  readonly memory: string
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
    let last: Seen | undefined
    let see = (): Seen => ({ position: 0n, memory: '', globals: [] })
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
          memory: Buffer.from(Bun(guest.memory())).toString('latin1'),
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
    last = see()
    if (end.kind !== 'suspended') return { end, stops, last, snapshots }
    const snapshot = snapshots[snapshots.length - 1]
    from = { ...snapshot, activations: decodeFrames(encodeFrames(snapshot.activations)) }
  }
}

// Only a digest of the memory is kept per stop.
function Bun(memory: Uint8Array): Uint8Array {
  let sum = 0
  const words = new Int32Array(memory.buffer)
  for (let i = 0; i < words.length; i++) sum = (Math.imul(sum, 31) + words[i]) | 0
  return Uint8Array.from([sum, sum >> 8, sum >> 16, sum >> 24])
}

const seeds = fc.integer({ min: 0, max: 0x7fffffff })
const floats = fc.constantFrom('canonical' as const, 'host' as const)

describe('a random program', () => {
  test('goes through the same states when it is captured at every poll', () => {
    fc.assert(
      fc.property(seeds, floats, (seed, profile) => {
        const bytes = generate(seed, { canonicalSinks: profile === 'host', signs: true })
        const options = { floats: profile, ...LIMITS }
        const plain = run(bytes, options, { at: () => 'go' })
        const ready = run(bytes, { ...options, capture: true }, { at: () => 'go' })
        expect(ready).toEqual(plain)
        const some = Math.min(plain.stops.length, 300)
        const captured = run(bytes, { ...options, capture: true }, { at: (stop) => (stop < some ? 'capture' : 'go') })
        expect({ ...captured, snapshots: [] }).toEqual(plain)
      }),
      { numRuns: 40 },
    )
  })
})
