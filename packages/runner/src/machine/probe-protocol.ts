/** What the main thread and a probe say to one another (probe.ts). */
import type { Computation, SnapshotManifest } from '@reprise/core'
import type { CallSubject, GlobalState } from '@reprise/wasm'
import type { SerializedError } from './serialized-error.ts'
import type { WarmStack } from './warm/index.ts'

/** Slots of the control block, as an Int32Array over its first bytes. */
export const PROBE_COMMANDS = 0 // counts commands sent; the thread waits on it
export const PROBE_INTERRUPT = 1 // 1: stop at the next poll
/** As a BigInt64Array: where the guest is, for progress. */
export const PROBE_POSITION = 1
export const PROBE_BYTES = 16

export interface ProbeData {
  readonly computation: Computation
  /** Paths of blobs by SHA-256, already checked. */
  readonly blobs: Readonly<Record<string, string>>
  readonly cacheFolder: string
  readonly control: SharedArrayBuffer
  /** The snapshot to begin with; its blobs are among `blobs`. */
  readonly from: SnapshotManifest | undefined
  /** What a computation that begins warm begins with, when no snapshot does. */
  readonly warm: { readonly stack: WarmStack; readonly memory: Uint8Array } | undefined
}

/** What ends a stretch that is run. */
export interface ProbeTarget {
  /** The first site at or after this position. */
  readonly position: bigint
  /** Also a requested checkpoint at this position. */
  readonly requested?: bigint
  /** Also the host call of this number, when it is done; counted from where the probe began. The guest cannot go on there. */
  readonly call?: number
}

export type ProbeCommand =
  | ({ readonly kind: 'run' } & ProbeTarget)
  | { readonly kind: 'mark' }
  | { readonly kind: 'keep' }
  | { readonly kind: 'back' }
  | { readonly kind: 'calls' }
  | { readonly kind: 'look' }
  | { readonly kind: 'measure' }

export type ProbeStop =
  | { readonly kind: 'start' | 'due' | 'requested' | 'interrupted'; readonly position: bigint }
  | { readonly kind: 'call'; readonly position: bigint; readonly call: ProbeCall }
  | { readonly kind: 'exited'; readonly position: bigint; readonly code: number }
  | { readonly kind: 'trapped'; readonly position: bigint; readonly reason: string }

/** A host call and what came of it. */
export interface ProbeCall {
  readonly name: string
  readonly parameters: readonly (number | bigint)[]
  readonly errno: number
  readonly subject: CallSubject | undefined
}

/** Digests of all parts of the machine where it stands, hex; equal ones everywhere: it goes on the same. */
export interface Mark {
  readonly position: bigint
  readonly memory: string
  readonly globals: string
  readonly frames: string
  readonly host: string
  readonly outputs: string
}

/** The host calls of the last stretch. */
export interface CallLog {
  /** Number of the first of them. */
  readonly first: number
  /** False when there were too many to keep them. */
  readonly complete: boolean
  readonly positions: BigInt64Array
  /** Of position, name, parameters, answer and what was written. */
  readonly digests: BigUint64Array
}

/** A copy of what the guest is made of where it stands. */
export interface Look {
  readonly memory: Uint8Array
  readonly globals: readonly GlobalState[]
  /** As `encodeFrames` gives them; undefined at the start and at the end. */
  readonly frames: Uint8Array | undefined
}

export interface ProbeMeasurement {
  readonly stateRoot: Uint8Array
  readonly outputsRoot: Uint8Array
}

export type ProbeMessage =
  | { readonly kind: 'stop'; readonly stop: ProbeStop }
  | { readonly kind: 'mark'; readonly mark: Mark }
  | { readonly kind: 'kept' }
  | { readonly kind: 'calls'; readonly calls: CallLog }
  | { readonly kind: 'look'; readonly look: Look }
  | { readonly kind: 'measure'; readonly measurement: ProbeMeasurement }
  | { readonly kind: 'failed'; readonly error: SerializedError }
