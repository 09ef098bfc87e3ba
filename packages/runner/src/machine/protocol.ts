/**
 * What the machine's threads say to one another. The engine thread is blocked inside the guest while
 * it runs, so it is reached through a shared control block, and waits there whenever it is stopped.
 */
import type { MessagePort } from 'node:worker_threads'
import type { Computation, MachineResults, Stop } from '@reprise/core'

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
export const CONTROL_BYTES = 40

export type Command =
  | { readonly kind: 'run'; readonly position: bigint }
  | { readonly kind: 'measure' }
  | { readonly kind: 'state' }
  | { readonly kind: 'results' }

/** From the engine thread. */
export type EngineMessage =
  | {
      readonly kind: 'ready'
      readonly memoryBytes: number
      readonly rewrite: { readonly cached: boolean; readonly elapsedMs: number }
    }
  | { readonly kind: 'stop'; readonly stop: Stop }
  | { readonly kind: 'state'; readonly memory: Uint8Array; readonly engineState: Uint8Array }
  | { readonly kind: 'results'; readonly results: MachineResults }
  | { readonly kind: 'stream'; readonly stream: 'stdout' | 'stderr'; readonly bytes: Uint8Array }
  | { readonly kind: 'failed'; readonly error: SerializedError }

/** From the engine thread to the hash thread: what changed in the shadow since the last one. */
export interface HashRequest {
  readonly position: bigint
  readonly memoryBytes: number
  readonly pages: Int32Array
  readonly engineState: Uint8Array
  readonly outputsRoot: Uint8Array
}

/** From the hash thread, in the order of the requests. */
export interface HashResult {
  readonly position: bigint
  readonly stateRoot: Uint8Array
  readonly outputsRoot: Uint8Array
}

export interface SerializedError {
  readonly name: string
  readonly code: string | undefined
  readonly message: string
  readonly hint: string | undefined
}

export interface EngineWorkerData {
  readonly computation: Computation
  /** Paths of the blobs of the computation by SHA-256, already checked. */
  readonly blobs: Readonly<Record<string, string>>
  /** Where rewritten modules are kept. */
  readonly cacheFolder: string
  readonly control: SharedArrayBuffer
  readonly shadow: SharedArrayBuffer
  readonly hashPort: MessagePort
}

export interface HashWorkerData {
  readonly control: SharedArrayBuffer
  readonly shadow: SharedArrayBuffer
  readonly enginePort: MessagePort
}
