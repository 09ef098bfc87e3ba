/**
 * What the machine's threads say to one another. The engine thread is blocked inside the guest while
 * it runs, so it is reached through a shared control block, and waits there whenever it is stopped.
 */
import type { MessagePort } from 'node:worker_threads'
import type { Computation, MachineResults, SnapshotManifest, SnapshotRef, Stop } from '@reprise/core'
import type { GlobalState, SavedHost } from '@reprise/wasm'
import type { DirtyPagesChoice, DirtyPagesMethod } from '../dirty-pages/index.ts'
import type { StreamName } from './live-output.ts'
import type { WantedModule } from './rewritten.ts'
import type { SerializedError } from './serialized-error.ts'
import type { WarmStack } from './warm/index.ts'

/** Slots of the control block, as an Int32Array over its first bytes. */
export const CONTROL_COMMANDS = 0 // counts commands sent; the engine thread waits on it
export const CONTROL_INTERRUPT = 1 // 1: stop at the next poll
export const CONTROL_HASHING = 2 // 1: the shadow is being hashed, do not touch it
export const CONTROL_STREAM_BYTES = 3 // bytes of live output on their way to the main thread
/** Slots of the control block as a BigInt64Array: where the machine is, for progress. */
export const CONTROL_POSITION = 2
export const CONTROL_MEMORY = 3
/** Microseconds that the guest stood still to be measured, in all. */
export const CONTROL_STALL_US = 4
/** Microseconds that the guest was left to be captured, in all. */
export const CONTROL_CAPTURE_US = 5
export const CONTROL_BYTES = 48

/** [offset, length], in bytes. */
export type ByteRange = readonly [number, number]

export type Command =
  /** Before all others, if at all: the module that the machine will most likely have. */
  | { readonly kind: 'expect'; readonly expects: Expects }
  /** The first one otherwise: threads are started before it is known for what. */
  | { readonly kind: 'machine'; readonly data: EngineData }
  /** Follows in a machine that begins warm, when the shadow holds the memory that it begins with; it is checked meanwhile. */
  | { readonly kind: 'warm'; readonly stack: WarmStack; readonly memory: BeginRequest }
  /** In a machine that goes on from a snapshot: these parts of its memory are in the shadow. */
  | { readonly kind: 'filled'; readonly ranges: readonly ByteRange[]; readonly isLast: boolean }
  | { readonly kind: 'run'; readonly position: bigint }
  | { readonly kind: 'measure' }
  /** At a due stop, after `measure`. */
  | { readonly kind: 'snapshot' }
  | { readonly kind: 'state' }
  | { readonly kind: 'results' }
  /** When it has ended, to one that wants them: the functions that it called first, in their order. */
  | { readonly kind: 'first-calls'; readonly functions: readonly number[] }
  /** The process of the scanner, or why there is none. */
  | { readonly kind: 'scanner'; readonly scanner: number | string }

/** From the engine thread. */
export type EngineMessage =
  | {
      readonly kind: 'ready'
      readonly memoryBytes: number
      readonly rewrite: { readonly cached: boolean; readonly elapsedMs: number }
      /** It is not known yet which functions its program calls first. */
      readonly wantsFirstCalls: boolean
    }
  | { readonly kind: 'named' }
  | { readonly kind: 'stop'; readonly stop: Stop }
  | { readonly kind: 'state'; readonly memoryBytes: number; readonly engineState: Uint8Array }
  | { readonly kind: 'results'; readonly results: MachineResults }
  | { readonly kind: 'stream'; readonly stream: StreamName; readonly bytes: Uint8Array }
  /** A scanner would pay now. */
  | { readonly kind: 'scanner-wanted' }
  | { readonly kind: 'dirty-pages'; readonly method: DirtyPagesMethod }
  | { readonly kind: 'failed'; readonly error: SerializedError }

/** From the engine thread to the hash thread, before the request to measure: some of what changed, while the rest is looked for. */
export interface ChangedRequest {
  readonly kind: 'changed'
  readonly memoryBytes: number
  readonly pages: Int32Array
}

/** From the engine thread to the hash thread: what changed in the shadow since the last one, but for what was told before. */
export interface MeasureRequest extends Omit<ChangedRequest, 'kind'> {
  readonly kind: 'measure'
  readonly position: bigint
  readonly engineState: Uint8Array
  readonly outputsRoot: Uint8Array
}

/** From the engine thread to the hash thread, after the request to measure: all of the machine but its memory. */
export interface SnapshotRequest {
  readonly kind: 'snapshot'
  readonly position: bigint
  readonly phase: 'start' | 'main'
  readonly frames: Uint8Array
  readonly globals: readonly GlobalState[]
  readonly host: SavedHost
}

/** From the engine thread when a machine stands where it was saved: its memory is what the shadow was filled with. */
export interface RestoredRequest extends Omit<MeasureRequest, 'kind' | 'pages'>, BeginRequest {
  readonly kind: 'restored'
}

export type HashRequest = ChangedRequest | MeasureRequest | SnapshotRequest | RestoredRequest

/** What the shadow holds when somebody begins to hash it. */
export interface BeginRequest {
  readonly memoryBytes: number
  /** Those that may not be zero: [first, count]. */
  readonly pages: readonly (readonly [number, number])[]
  /** Of the tree over all pages, where they are known. */
  readonly digests?: Uint8Array
}

/** From the main thread to the hash thread, which takes over from it. */
export interface TakeOver {
  /** What was hashed there; undefined: nothing. */
  readonly begun: BeginRequest | undefined
  /** The stateRoot that was measured last; of no bytes before the first one. */
  readonly lastState: Uint8Array
  readonly enginePort: MessagePort
  /** What came meanwhile. */
  readonly request: HashRequest | undefined
}

/** From the hash thread; those of one kind come in the order of their requests. */
export type HashResult =
  | MeasureResult
  | RestoredResult
  | { readonly kind: 'snapshot'; readonly snapshot: SnapshotRef }
  | HashFailure

export interface HashFailure {
  readonly kind: 'failed'
  readonly error: SerializedError
}

export interface MeasureResult {
  readonly kind: 'measure'
  readonly position: bigint
  readonly stateRoot: Uint8Array
  readonly outputsRoot: Uint8Array
}

export interface RestoredResult extends Omit<MeasureResult, 'kind'> {
  readonly kind: 'restored'
  readonly engineState: Uint8Array
}

/** What a thread may load before it is told what machine it is. */
export interface Expects {
  readonly module: WantedModule
  readonly cacheFolder: string
}

export interface EngineData {
  readonly computation: Computation
  /** Paths by SHA-256, as the store gives them; those of the computation are checked already. */
  readonly blobs: Readonly<Record<string, string>>
  /** Where rewritten modules are kept. */
  readonly cacheFolder: string
  readonly shadow: SharedArrayBuffer
  readonly hashPort: MessagePort
  /** The snapshot that the machine begins with; its memory comes by the shadow. Without one a warm start may begin it. */
  readonly from: SnapshotManifest | undefined
  readonly dirtyPages: DirtyPagesChoice
}

export interface HashWorkerData {
  /** Whose store takes the snapshots; undefined: none does. */
  readonly home: string | undefined
  readonly control: SharedArrayBuffer
  readonly shadow: SharedArrayBuffer
}
