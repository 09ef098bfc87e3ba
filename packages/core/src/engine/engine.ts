/**
 * The engine contract: all that `runner` knows of a machine. Same computation, same position ⇒ same
 * stateRoot, on any host.
 */
import type { TrapReason } from '../record/types.ts'

/** Where a machine stopped; `position` counts as the engine's semantics says. */
export type Stop = {
  readonly position: bigint
  /** Of the machine's memory at the stop; decides the stride of the grid. */
  readonly memoryBytes: number
} & (
  | { readonly kind: 'due' }
  | { readonly kind: 'requested'; readonly label: string }
  | { readonly kind: 'exited'; readonly code: number }
  | { readonly kind: 'trapped'; readonly reason: TrapReason; readonly message: string }
  | { readonly kind: 'interrupted' }
)

export interface Measurement {
  readonly position: bigint
  /** 32 bytes each. */
  readonly stateRoot: Uint8Array
  readonly outputsRoot: Uint8Array
}

/** One output so far, by its path (spec/measurement.md §3.4). */
export interface MachineOutput {
  readonly path: string
  readonly bytes: Uint8Array
}

/** Something the guest asked for and did not get. */
export interface MachineNote {
  readonly code: string
  readonly detail: string
  readonly count: number
}

export interface MachineResults {
  /** Sorted by path bytes. */
  readonly outputs: readonly MachineOutput[]
  /** Inputs that the guest deleted. */
  readonly removed: readonly string[]
  readonly notes: readonly MachineNote[]
}

/** The whole state that a stateRoot stands for. */
export interface MachineState {
  readonly memory: Uint8Array
  readonly engineState: Uint8Array
}

/** Where a snapshot lies in the store, and what is signed of it (spec/record.md §8). */
export interface SnapshotRef {
  /** 32 bytes. */
  readonly root: Uint8Array
  /** Digests of the stack's bytes and of the manifest, hex. */
  readonly frames: string
  readonly manifest: string
  /** Bytes that this snapshot added to the store. */
  readonly addedBytes: number
}

export interface Machine extends AsyncDisposable {
  /** Runs to the first stop at or after `position`; a requested checkpoint, the end or an interrupt come sooner. */
  runTo(position: bigint): Promise<Stop>
  /**
   * Measures the stopped machine. What must stand still is taken before the next `runTo`; the
   * hashing goes on beside the running machine, so await the result late.
   */
  measure(): Promise<Measurement>
  /**
   * Saves the machine that stands at a due stop and has just been measured, so that a run can go on from here on any
   * host. Only what changed since the last snapshot is added to the store; that goes on beside the running machine,
   * so await the result late.
   */
  snapshot(): Promise<SnapshotRef>
  /** The state that was measured last, of the machine that still stands there; its memory is valid until the next time. */
  state(): Promise<MachineState>
  /** What the guest has written, deleted and asked for in vain so far. */
  results(): Promise<MachineResults>
  /** Makes a running `runTo` stop with `interrupted` at the next poll. */
  interrupt(): void
}
