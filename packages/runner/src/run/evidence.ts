/**
 * The evidence of a run as it grows: checkpoints into the chain and the journal, heads to the
 * signer, receipts back into the journal. It alone knows what is signed and what is not yet.
 */
import {
  CHECKPOINT_FINAL,
  cumulativeChain,
  fromHex,
  hex,
  outcomeDigest,
  SnapshotChain,
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

export interface EvidenceOptions {
  readonly computationId: Uint8Array
  readonly journal: JournalWriter
  readonly sha256: Sha256
  /** Milliseconds that only go forward. */
  readonly clock: () => number
  /** What the journal of an earlier attempt holds up to the snapshot that this one goes on from, and all its attestations. */
  readonly earlier?: EarlierEvidence | undefined
}

export interface EarlierEvidence {
  readonly checkpoints: readonly Checkpoint[]
  readonly snapshots: readonly Snapshot[]
  readonly attestations: readonly Attestation[]
  /** C after the last of these checkpoints. */
  readonly cumulative: Uint8Array
}

export interface EvidenceState {
  readonly checkpoints: number
  readonly attestations: number
  /** The last checkpoint that a quote covers; -1 before the first. */
  readonly signedSeq: number
  /** Age of the oldest checkpoint that is not signed. */
  readonly lagMs: number
  readonly cumulative: Uint8Array
}

export interface Evidence {
  readonly checkpoints: readonly Checkpoint[]
  readonly attestations: readonly Attestation[]
  readonly snapshots: readonly Snapshot[]
  state(): EvidenceState
  /** Adds a measured checkpoint; a final one comes with its outcome. */
  add(checkpoint: {
    readonly seq: number
    readonly kind: CheckpointKind
    readonly measurement: Measurement
    readonly outcome?: Outcome
    readonly snapshot?: SnapshotRef
  }): void
  /** Takes over what an earlier attempt signed and this one did not come to. */
  keep(checkpoints: readonly Checkpoint[], outcome: Outcome | null): void
  onReceipt(attestation: Attestation): void
  /** Connects the signer; heads go to it from now on, the newest one at once. */
  attach(signer: RunSigner): void
  /** Resolves when a quote covers `seq` and the journal holds it on disk. */
  waitSigned(seq: number, signal?: AbortSignal): Promise<void>
}

export function createEvidence({ computationId, journal, sha256, clock, earlier }: EvidenceOptions): Evidence {
  const chain = cumulativeChain(sha256)
  const snapshotChain = new SnapshotChain(computationId, sha256)
  const checkpoints: Checkpoint[] = [...(earlier?.checkpoints ?? [])]
  const snapshots: Snapshot[] = []
  const attestations: Attestation[] = [...(earlier?.attestations ?? [])]
  /** When each unsigned checkpoint was added, oldest first. */
  const unsigned: { readonly seq: number; readonly atMs: number }[] = []
  let signedSeq = checkpoints.length - 1
  let cumulative = earlier?.cumulative ?? chain.start(computationId)
  let signer: RunSigner | undefined

  const addSnapshot = (snapshot: Snapshot): void => {
    snapshots.push(snapshot)
    snapshotChain.add(snapshot, BigInt(checkpoints[snapshot.seq].position))
  }
  for (const snapshot of earlier?.snapshots ?? []) addSnapshot(snapshot)
  const submit = (urgent: boolean): void => {
    const seq = checkpoints.length - 1
    if (seq > signedSeq) signer?.submit({ seq, cumulative, snapshots: snapshotChain.at(seq) }, { urgent })
  }
  return {
    checkpoints,
    attestations,
    snapshots,
    state: () => ({
      checkpoints: checkpoints.length,
      attestations: attestations.length,
      signedSeq,
      lagMs: unsigned[0] === undefined ? 0 : clock() - unsigned[0].atMs,
      cumulative,
    }),
    add({ seq, kind, measurement, outcome, snapshot }) {
      const { position, stateRoot, outputsRoot } = measurement
      const outcomeHash = outcome === undefined ? ZERO_DIGEST : outcomeDigest(outcome, sha256)
      cumulative = chain.next(cumulative, { seq, position, kind, stateRoot, outputsRoot, outcome: outcomeHash })
      const checkpoint = { kind, outputs: hex(outputsRoot), position: position.toString(), seq, state: hex(stateRoot) }
      checkpoints.push(checkpoint)
      unsigned.push({ seq, atMs: clock() })
      if (outcome !== undefined) journal.append({ kind: 'outcome', outcome })
      journal.append({ kind: 'checkpoint', checkpoint })
      if (snapshot !== undefined) {
        const line = { frames: snapshot.frames, manifest: snapshot.manifest, root: hex(snapshot.root), seq }
        addSnapshot(line)
        journal.append({ kind: 'snapshot', snapshot: line })
      }
      // What a snapshot can be gone on from is what is signed: it does not wait for the next regular batch.
      submit(seq === 0 || kind === CHECKPOINT_FINAL || snapshot !== undefined)
    },
    keep(kept, outcome) {
      for (const checkpoint of kept) {
        checkpoints.push(checkpoint)
        signedSeq = checkpoint.seq
        const { seq, kind, position, state, outputs } = checkpoint
        cumulative = chain.next(cumulative, {
          seq,
          kind,
          position: BigInt(position),
          stateRoot: fromHex(state),
          outputsRoot: fromHex(outputs),
          outcome: kind === CHECKPOINT_FINAL && outcome !== null ? outcomeDigest(outcome, sha256) : ZERO_DIGEST,
        })
      }
    },
    onReceipt(attestation) {
      attestations.push(attestation)
      signedSeq = attestation.seq
      while (unsigned[0] !== undefined && unsigned[0].seq <= signedSeq) unsigned.shift()
      journal.append({ kind: 'attestation', attestation })
    },
    attach(runSigner) {
      signer = runSigner
      submit(true)
    },
    async waitSigned(seq, signal) {
      if (signer === undefined) throw new Error('nothing signs this run')
      await signer.waitFor(seq, signal === undefined ? {} : { signal })
      await journal.sync()
    },
  }
}
