/** What a run is asked for, and what it answers with. */
import type { Checkpoint, Computation, MachineNote, Outcome } from '@reprise/core'
import type { HostFacts, Signer } from '@reprise/host'
import type { HostChange } from '../host/index.ts'
import type { BlobStore } from '../blobs/index.ts'
import type { DirtyPagesMethod } from '../dirty-pages/index.ts'
import type { KeepSnapshots } from '../journal/index.ts'
import type { AttachLevel } from '../record/index.ts'

/** How old an unsigned checkpoint may get before the machine waits for the TPM. */
export const MAX_LAG_MS = 10_000

/** What a run, a repetition and a resumption ask for alike. */
export interface ExecuteRequest {
  readonly store: BlobStore
  readonly home: string
  readonly signer: Promise<Signer>
  readonly recordPath: string
  readonly attach: AttachLevel
  readonly maxLagMs?: number
  /**
   * Milliseconds between snapshots; absent: 10 to 60 s, so that they cost a hundredth of the time at most; null: none. Very long
   * runs take them more rarely, see snapshot-clock.ts.
   */
  readonly snapshotMs?: number | null
  /** Of which signed snapshots the bytes are kept; absent: as the run was asked before, all unless it was. */
  readonly keepSnapshots?: KeepSnapshots
  /** Stops the run at the next poll; what was signed stays signed. */
  readonly signal?: AbortSignal
  readonly onStream?: (stream: 'stdout' | 'stderr', bytes: Uint8Array) => Promise<void> | void
  readonly onProgress?: (progress: RunProgress) => void
  readonly onTrouble?: (message: string) => void
  /** Sees every checkpoint in order; `stop` ends the run there. A repetition compares here. */
  readonly onCheckpoint?: (checkpoint: Checkpoint) => 'go' | 'stop'
  /** Which positions grid checkpoints want; the policy of the computation unless it is given. */
  readonly nextDue?: (position: bigint, memoryBytes: number) => bigint
}

export interface RunRequest extends ExecuteRequest {
  readonly computation: Computation
  readonly follows?: readonly string[]
  readonly repeats?: string | null
}

export interface RunProgress {
  readonly phase: 'preparing' | 'running' | 'signing'
  readonly position: bigint
  readonly memoryBytes: number
  readonly checkpoints: number
  readonly attestations: number
  /** How many checkpoints no quote covers yet, and the age of the oldest. */
  readonly unsigned: number
  readonly lagMs: number
}

/** Of several snapshots; what they share counts once. */
export interface SnapshotBytes {
  readonly plain: number
  readonly stored: number
}

export interface RunResult {
  readonly run: string
  readonly computation: string
  readonly recordPath: string
  readonly recordBytes: number
  readonly host: HostFacts
  /** The host ceased to be one that the computation demands: the run was stopped there. */
  readonly hostChange: HostChange | undefined
  /** Undefined when the run was interrupted or stopped before its end. */
  readonly outcome: Outcome | undefined
  readonly trapMessage: string | undefined
  readonly checkpoints: number
  readonly snapshots: number
  /** Those of which the bytes are kept in the store, and how many bytes: what they hold, and what their files take. */
  readonly keptSnapshots: number
  readonly snapshotBytes: SnapshotBytes
  readonly attestations: number
  readonly signedSeq: number
  /** Why signing ended before the run did. */
  readonly signingLost: string | undefined
  readonly cumulative: string
  /** SHA-256 by path of the inputs that the program could change. */
  readonly inputs: ReadonlyMap<string, string>
  readonly follows: readonly string[]
  readonly removed: readonly string[]
  readonly notes: readonly MachineNote[]
  readonly overhead: {
    readonly prepareMs: number
    readonly measureMs: number
    /** How changed pages were found in the end. */
    readonly dirtyPages: DirtyPagesMethod
    readonly snapshotMs: number
    readonly signWaitMs: number
    readonly runMs: number
  }
}
