/** The shapes of computation, record and journal. Formats: spec/computation.md, spec/record.md. */
import type { HostRules } from '../environment/host-rules.ts'

export interface BlobRef {
  readonly lengthBytes: number
  /** Lower-case hex. */
  readonly sha256: string
}

export interface InputFile extends BlobRef {
  /** Relative to the mount, `/` between names. */
  readonly path: string
  /** The program can read it but not change, move or remove it, even in a mount that is writable. */
  readonly readOnly: boolean
}

export type MountSource =
  | { readonly kind: 'files'; readonly files: readonly InputFile[] }
  | { readonly kind: 'archive'; readonly format: 'tar.gz'; readonly blob: BlobRef }

export interface ComputationMount {
  readonly at: string
  readonly output: boolean
  readonly source: MountSource
  readonly writable: boolean
}

export type CheckpointPolicy =
  | { readonly kind: 'grid'; readonly fuel: string; readonly strideBytes: number; readonly strideMax: number }
  | { readonly kind: 'outputs' }
  | { readonly kind: 'none' }

export type Compare =
  | { readonly kind: 'bytes' }
  | { readonly kind: 'text' }
  | { readonly kind: 'numbers'; readonly abs: number; readonly rel: number }
  | { readonly kind: 'json'; readonly abs: number; readonly rel: number }

export type Criterion = { readonly checkpoints: 'exact' } | { readonly output: string; readonly compare: Compare }

/**
 * Where a computation begins that does not begin at its program's beginning: what another start of the same program,
 * with these arguments, variables and contents of the mounts, is at its warm point. Rules: spec/computation.md §6.
 */
export interface WarmStart {
  readonly kind: 'warm'
  readonly arguments: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  /** One for each mount of the computation, in its place. */
  readonly mounts: readonly MountSource[]
  /** At the warm point, hex. */
  readonly snapshotRoot: string
}

/** What is run; its id is the SHA-256 of its canonical JSON under a tag. */
export interface Computation {
  readonly schema: 'reprise/computation/v1'
  readonly semantics: string
  readonly program: BlobRef
  readonly arguments: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  readonly stdin: BlobRef
  readonly mounts: readonly ComputationMount[]
  /** Nanoseconds since 1970-01-01T00:00:00Z, decimal. */
  readonly clock: string
  /** Below 2^64, decimal. */
  readonly seed: string
  readonly floats: 'canonical' | 'host'
  readonly limits: { readonly memoryPages: number; readonly stackSlots: number }
  readonly checkpoints: CheckpointPolicy
  readonly success: readonly Criterion[]
  /** Absent when it begins at its program's beginning. */
  readonly start?: WarmStart
  /** Absent when any host will do. */
  readonly host?: HostRules
}

export type TrapReason = string

export type Exit = { readonly code: number } | { readonly trap: TrapReason }

export interface OutcomeOutput {
  readonly length: number
  /** Page root, hex. */
  readonly pages: string
  readonly path: string
  readonly sha256: string
}

export interface Outcome {
  readonly exit: Exit
  readonly outputs: readonly OutcomeOutput[]
}

export const LOG_KINDS = ['boot', 'ima', 'own'] as const

/**
 * A log of the host, as it was found when the attempt began. `source`: where the kernel or the host itself keeps it, or a file that
 * the user named.
 */
export type EnvironmentLog =
  | {
      readonly kind: (typeof LOG_KINDS)[number]
      readonly lengthBytes: number
      readonly sha256: string
      readonly source: 'host' | 'user'
    }
  /** There is one, and the record does not carry it. */
  | { readonly kind: (typeof LOG_KINDS)[number]; readonly leftOut: (typeof LEFT_OUT)[number] }

export const LEFT_OUT = ['too-large', 'unreadable'] as const

export interface Environment {
  readonly schema: 'reprise/environment/v1'
  readonly architecture: string
  readonly bootId: string | null
  readonly cpu: string
  /** SHA-256 of the DER, hex. */
  readonly ekCertificate: string | null
  readonly follows: readonly string[]
  readonly kernel: string
  /** At most one of each kind, in the order of their names. */
  readonly logs: readonly EnvironmentLog[]
  readonly node: string
  readonly platform: string
  readonly repeats: string | null
  readonly reprise: string
  readonly rewriter: string
  /** ISO 8601, UTC, whole seconds; the host's own clock. */
  readonly startedAt: string
  readonly tpm: { readonly firmware: string; readonly manufacturer: string; readonly transport: 'swtpm' | 'device' }
  readonly v8: string
}

export interface Attempt {
  readonly attempt: number
  readonly environment: Environment
  /** The first checkpoint that this attempt computes: 0, or the one after `from`. */
  readonly firstSeq: number
  /** The checkpoint whose snapshot this attempt goes on from; null for attempt 1 alone. */
  readonly from: number | null
  /** Index into the record's hosts. */
  readonly host: number
}

export interface RecordHost {
  /** Entry name of the TPMT_PUBLIC. */
  readonly ak: string
  /**
   * Entry names of the attestation key's certificate and its issuers, leaf first, without the root; empty for a host that
   * enrolled itself. The one part of record.json that the TPM does not sign: each speaks for itself (spec/record.md §2.6).
   */
  readonly certificates: readonly string[]
  /** Entry name of the EK certificate. */
  readonly ek: string | null
}

/** record.json */
export interface RecordDocument {
  readonly schema: 'reprise/record/v1'
  readonly attempts: readonly Attempt[]
  readonly computation: Computation
  readonly hosts: readonly RecordHost[]
  readonly outcome: Outcome | null
  /** 32 random bytes, hex. */
  readonly run: string
}

export const CHECKPOINT_GRID = 1
export const CHECKPOINT_REQUESTED = 2
export const CHECKPOINT_FINAL = 3
export type CheckpointKind = typeof CHECKPOINT_GRID | typeof CHECKPOINT_REQUESTED | typeof CHECKPOINT_FINAL

/** A line of checkpoints.jsonl. */
export interface Checkpoint {
  readonly kind: CheckpointKind
  /** outputsRoot, hex. */
  readonly outputs: string
  /** Decimal. */
  readonly position: string
  readonly seq: number
  /** stateRoot, hex. */
  readonly state: string
}

/** A line of snapshots.jsonl. */
export interface Snapshot {
  /** SHA-256 of the stack's bytes, hex. */
  readonly frames: string
  /** SHA-256 of the {@link SnapshotManifest}, hex. */
  readonly manifest: string
  /** snapshotRoot, hex. */
  readonly root: string
  /** The checkpoint at which it was taken. */
  readonly seq: number
}

/** Pages of 4 KiB that lie one after the other both in memory and in a pack. */
export type PageRun = readonly [firstPage: number, count: number, pack: number, firstPageInPack: number]

export const GLOBAL_TYPES = ['i32', 'i64', 'f32', 'f64', 'v128'] as const

export interface GlobalValue {
  /** As many hex digits as the type is wide. */
  readonly bits: string
  readonly type: (typeof GLOBAL_TYPES)[number]
}

export const SNAPSHOT_PHASES = ['start', 'main', 'ended'] as const

/** What a machine is restored from; its canonical JSON is a blob. */
export interface SnapshotManifest {
  readonly schema: 'reprise/snapshot/v1'
  /** File contents that `host` names, ascending by digest. */
  readonly contents: readonly BlobRef[]
  /** The stack, as the semantics encodes it. */
  readonly frames: BlobRef
  /** The mutable globals in order of their index. */
  readonly globals: readonly GlobalValue[]
  /** What the host of the guest's calls is restored from. */
  readonly host: BlobRef
  readonly memoryBytes: number
  /** Whole pages of 4 KiB, one after the other. */
  readonly packs: readonly BlobRef[]
  /** Ascending; pages that no run names are zero. */
  readonly pages: readonly PageRun[]
  /** In the module's start function, in `_start`, or after the end. */
  readonly phase: (typeof SNAPSHOT_PHASES)[number]
  /** Decimal. */
  readonly position: string
}

/** What a TPM said of an NV counter: spec/power-cycles.md §2, §3. All hex. */
export interface CounterStatement {
  /** TPMS_ATTEST */
  readonly attest: string
  /** TPMS_NV_PUBLIC */
  readonly public: string
  /** TPMT_SIGNATURE */
  readonly signature: string
}

/** What a TPM said of its last Startup: spec/power-cycles.md §2. */
export interface BootStatement {
  /** The kernel's boot_id; null where there is none. */
  readonly bootId: string | null
  readonly counter: CounterStatement
  readonly startup: {
    /** TPMS_ATTEST, hex. */
    readonly attest: string
    /** What TPM2_GetCapability answered, hex. */
    readonly response: string
    /** TPMT_SIGNATURE, hex. */
    readonly signature: string
  }
}

/** Statements that an attestation carries, and that the head it signs covers. */
export interface Joined {
  readonly boot?: BootStatement
  readonly counter?: CounterStatement
}

/** A line of attestations.jsonl. */
export interface Attestation extends Joined {
  readonly attempt: number
  /** TPMS_ATTEST, hex. */
  readonly attest: string
  readonly batch: {
    readonly count: number
    readonly index: number
    readonly path: readonly string[]
    readonly seq: string
  }
  /** PCR values by bank and index, hex. */
  readonly pcrs: { readonly sha256: Readonly<Record<string, string>> }
  readonly seq: number
  /** TPMT_SIGNATURE, hex. */
  readonly signature: string
}
