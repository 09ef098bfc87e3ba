/** Runs guests that are captured at their stops, for tests. */

import { concat } from '@reprise/core'
import { type GuestStop, type HostFunction, runGuest, type Snapshot } from '../machine.ts'
import { decodeFrames, encodeFrames } from '../state/index.ts'
import { Continuations } from './continuations.ts'
import { rewrite, type RewriteOptions } from './rewrite.ts'
import { dataOf } from './without-data.ts'

/** What can be seen of a guest at a stop. */
export interface Seen {
  readonly position: bigint
  readonly memory: number
  readonly globals: readonly bigint[]
}

export interface Run {
  readonly end: GuestStop
  readonly stops: readonly Seen[]
  readonly last: Seen
  readonly snapshots: readonly Snapshot[]
}

export interface Way {
  /** Whether to capture at the stop with this number, and how to go on. */
  readonly at: (stop: number) => 'go' | 'capture' | 'move'
  readonly from?: Snapshot
  /** Distance of the stops; 1: every poll. */
  readonly grid?: bigint
  readonly host?: Readonly<Record<string, HostFunction>>
}

/** Runs a guest with a stop at every poll; `move` goes on in a fresh instance, of the module without its data. */
export function run(bytes: Uint8Array, options: RewriteOptions, way: Way): Run {
  const { bytes: rewritten, facts } = rewrite(bytes, options)
  const whole = new WebAssembly.Module(rewritten)
  const data = dataOf(rewritten)
  const emptied = data && new WebAssembly.Module(concat(rewritten.subarray(0, data.at), data.emptied))
  const continuations = options.capture === true ? new Continuations(() => bytes, options) : undefined
  const stops: Seen[] = []
  const snapshots: Snapshot[] = []
  let from = way.from
  for (;;) {
    let see = (): Seen => ({ position: 0n, memory: 0, globals: [] })
    let position = from?.position ?? 0n
    let answer: 'go' | 'capture' | 'move' = 'go'
    const isEmptied = from !== undefined && emptied !== undefined
    const end = runGuest({
      module: isEmptied ? emptied : whole,
      isEmptied,
      facts,
      hostImport: (_, name) => way.host?.[name],
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
        // Leaving changes nothing that can be seen.
        if (show(see()) !== show(stops[stops.length - 1])) throw new Error('the guest changed while it was left')
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

const show = (seen: Seen): string => `${seen.position} ${seen.memory} ${seen.globals.join()}`

export function digest(memory: Uint8Array): number {
  let sum = 0
  const words = new Int32Array(memory.buffer, 0, memory.length / 4)
  for (let i = 0; i < words.length; i++) sum = (Math.imul(sum, 31) + words[i]) | 0
  return sum
}
