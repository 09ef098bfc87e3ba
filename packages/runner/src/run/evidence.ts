/**
 * The evidence of a run as it grows: checkpoints into the chain and the journal, heads to the
 * signer, receipts back into the journal. It alone knows what is signed and what is not yet. Of all that is written down it
 * keeps the ends of the chains and some numbers: a run may have any number of checkpoints.
 */
import {
  CHECKPOINT_FINAL,
  cumulativeChain,
  hex,
  outcomeDigest,
  snapshotsNext,
  snapshotsStart,
  ZERO_DIGEST,
  type Attestation,
  type Checkpoint,
  type CheckpointKind,
  type Measurement,
  type SnapshotRef,
  type Outcome,
  type Sha256,
  type Snapshot,
} from '@reprise/core'
import type { RunSigner } from '@reprise/host'
import type { JournalWriter } from '../journal/index.ts'

/** So many unsigned checkpoints have their times kept one by one. */
const UNSIGNED_TIMES_MAX = 1024

export interface EvidenceOptions {
  readonly computationId: Uint8Array
  readonly journal: JournalWriter
  readonly sha256: Sha256
  /** Milliseconds that only go forward. */
  readonly clock: () => number
  /** What stands in the journal of earlier attempts, when this one goes on from a snapshot. */
  readonly earlier?: EarlierEvidence | undefined
}

export interface EarlierEvidence {
  /** The checkpoint of the snapshot. */
  readonly checkpoint: Checkpoint
  /** C and S there. */
  readonly cumulative: Uint8Array
  readonly snapshots: Uint8Array
  /** Snapshots of later checkpoints that were signed. */
  readonly laterSnapshots: readonly Snapshot[]
  readonly attestations: number
}

export interface EvidenceState {
  readonly checkpoints: number
  readonly attestations: number
  /** The last checkpoint that a quote of this attempt covers, or the one that it goes on from; -1 before the first. */
  readonly signedSeq: number
  /** Age of the oldest checkpoint that is not signed. */
  readonly lagMs: number
  readonly cumulative: Uint8Array
}

export interface Evidence {
  state(): EvidenceState
  /** Adds a measured checkpoint; a final one comes with its outcome. */
  add(checkpoint: {
    readonly seq: number
    readonly kind: CheckpointKind
    readonly measurement: Measurement
    readonly outcome?: Outcome
    readonly snapshot?: SnapshotRef
  }): Checkpoint
  onReceipt(attestation: Attestation): void
  /** The host is not one to go on with: the attestation that shows it is the last one. */
  stop(attestation: Attestation): void
  /** Takes no receipt any more: what is signed from now on is as if a crash had lost it. */
  seal(): void
  /** Connects the signer; heads go to it from now on, the newest one at once. */
  attach(signer: RunSigner): void
  /** Resolves when a quote covers `seq` and the journal holds it on disk. */
  waitSigned(seq: number, signal?: AbortSignal): Promise<void>
}

export function createEvidence({ computationId, journal, sha256, clock, earlier }: EvidenceOptions): Evidence {
  const chain = cumulativeChain(sha256)
  const later = [...(earlier?.laterSnapshots ?? [])]
  /** When unsigned checkpoints were added, oldest first. */
  const unsigned: { seq: number; readonly atMs: number }[] = []
  let seq = earlier?.checkpoint.seq ?? -1
  let attestations = earlier?.attestations ?? 0
  let signedSeq = seq
  let cumulative = earlier?.cumulative ?? chain.start(computationId)
  let snapshots = earlier?.snapshots ?? snapshotsStart(computationId, sha256)
  let signer: RunSigner | undefined
  let isSealed = false
  let end = false

  const submit = (urgent: boolean): void => {
    if (!isSealed && seq > signedSeq) signer?.submit({ seq, cumulative, snapshots, end }, { urgent })
  }
  const noteUnsigned = (): void => {
    // Those past the bound pass for as old as the one before them: only when nothing is signed any more there are so many.
    const last = unsigned.at(-1)
    if (last !== undefined && unsigned.length >= UNSIGNED_TIMES_MAX) last.seq = seq
    else unsigned.push({ seq, atMs: clock() })
  }
  const addSnapshot = (snapshot: Snapshot, position: bigint): void => {
    snapshots = snapshotsNext(snapshots, { snapshot, position }, sha256)
  }
  return {
    state: () => ({
      checkpoints: seq + 1,
      attestations,
      signedSeq,
      lagMs: unsigned[0] === undefined ? 0 : clock() - unsigned[0].atMs,
      cumulative,
    }),
    add({ seq: number, kind, measurement, outcome, snapshot }) {
      const { position, stateRoot, outputsRoot } = measurement
      const outcomeHash = outcome === undefined ? ZERO_DIGEST : outcomeDigest(outcome, sha256)
      seq = number
      end = kind === CHECKPOINT_FINAL
      cumulative = chain.next(cumulative, { seq, position, kind, stateRoot, outputsRoot, outcome: outcomeHash })
      const checkpoint = { kind, outputs: hex(outputsRoot), position: position.toString(), seq, state: hex(stateRoot) }
      noteUnsigned()
      if (outcome !== undefined) journal.append({ kind: 'outcome', outcome })
      journal.append({ kind: 'checkpoint', checkpoint })
      if (later[0]?.seq === seq) addSnapshot(later.shift() as Snapshot, position)
      if (snapshot !== undefined) {
        const line = { frames: snapshot.frames, manifest: snapshot.manifest, root: hex(snapshot.root), seq }
        addSnapshot(line, position)
        journal.append({ kind: 'snapshot', snapshot: line })
      }
      // What a snapshot can be gone on from is what is signed: it does not wait for the next regular batch.
      submit(seq === 0 || kind === CHECKPOINT_FINAL || snapshot !== undefined)
      return checkpoint
    },
    seal() {
      isSealed = true
    },
    stop(attestation) {
      if (isSealed) return
      isSealed = true
      attestations += 1
      journal.append({ kind: 'changed' })
      write(journal, attestation)
    },
    onReceipt(attestation) {
      if (isSealed) return
      attestations += 1
      signedSeq = attestation.seq
      while (unsigned[0] !== undefined && unsigned[0].seq <= signedSeq) unsigned.shift()
      write(journal, attestation)
    },
    attach(runSigner) {
      signer = runSigner
      submit(true)
    },
    async waitSigned(wanted, signal) {
      if (signer === undefined) throw new Error('nothing signs this run')
      await signer.waitFor(wanted, signal === undefined ? {} : { signal })
      await journal.sync()
    },
  }
}

/** No kill is to lose what is signed. Whoever waits for it, or writes next, sees what fails. */
function write(journal: JournalWriter, attestation: Attestation): void {
  journal.append({ kind: 'attestation', attestation })
  journal.sync().catch(() => {})
}
