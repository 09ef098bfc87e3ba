/** What is hashed for a run: checkpoints, chains, heads and batches. Format: spec/measurement.md. */
import { ByteWriter, compare, concat, fromHex, sized, textDigest, tuple, tupleDigest, utf8 } from '../bytes/index.ts'
import { canonical } from '../canon/index.ts'
import type { Sha256 } from '../crypto.ts'
import { DIGEST_BYTES, treeHash, treeRoot } from '../merkle/index.ts'
import {
  CHECKPOINT_FINAL,
  type Checkpoint,
  type CheckpointKind,
  type Computation,
  type Environment,
  type Outcome,
  type RecordDocument,
  type Snapshot,
} from '../record/types.ts'

export const ZERO_DIGEST: Uint8Array = new Uint8Array(DIGEST_BYTES)

function digestOfJson(tag: string, value: unknown, sha256: Sha256): Uint8Array {
  return textDigest(sha256, tag, canonical(value))
}

export function computationId(computation: Computation, sha256: Sha256): Uint8Array {
  return digestOfJson('reprise/computation/v1', computation, sha256)
}

export function environmentDigest(environment: Environment, sha256: Sha256): Uint8Array {
  return digestOfJson('reprise/environment/v1', environment, sha256)
}

export function outcomeDigest(outcome: Outcome, sha256: Sha256): Uint8Array {
  return digestOfJson('reprise/outcome/v1', outcome, sha256)
}

/** @param engineState - All that decides the rest of the run besides the memory; bytes fixed by the semantics. */
export function stateRoot(memoryRoot: Uint8Array, engineState: Uint8Array, sha256: Sha256): Uint8Array {
  return tupleDigest(sha256, 'reprise/state/v1', memoryRoot, ...sized(engineState))
}

export interface OutputLeaf {
  readonly path: string
  readonly lengthBytes: number
  readonly pagesRoot: Uint8Array
}

/** The `outputs` tree; sorts by the bytes of the paths (spec/measurement.md §3). */
export function outputsRoot(outputs: readonly OutputLeaf[], sha256: Sha256): Uint8Array {
  const hash = treeHash('outputs', sha256)
  const sorted = outputs.map((output) => ({ output, path: utf8(output.path) })).sort((a, b) => compare(a.path, b.path))
  return treeRoot(
    hash,
    sorted.map(({ output, path }) =>
      hash.leaf(new ByteWriter().sized(path).u64(BigInt(output.lengthBytes)).raw(output.pagesRoot).done()),
    ),
  )
}

export function outcomeOutputsRoot(outcome: Outcome, sha256: Sha256): Uint8Array {
  const leaves = outcome.outputs.map(({ path, length, pages }) => ({
    path,
    lengthBytes: length,
    pagesRoot: fromHex(pages),
  }))
  return outputsRoot(leaves, sha256)
}

export interface CheckpointLeaf {
  readonly seq: number
  readonly position: bigint
  readonly kind: CheckpointKind
  readonly stateRoot: Uint8Array
  readonly outputsRoot: Uint8Array
  /** {@link outcomeDigest} in the final checkpoint, {@link ZERO_DIGEST} in every other. */
  readonly outcome: Uint8Array
}

/** The chain C over checkpoints (spec/measurement.md §5). */
export interface CumulativeChain {
  readonly start: (computationId: Uint8Array) => Uint8Array
  readonly next: (cumulative: Uint8Array, leaf: CheckpointLeaf) => Uint8Array
}

/** Keeps its input buffers, because a verifier walks this a hundred thousand times: by way of tuples it takes a fifth longer. */
export function cumulativeChain(sha256: Sha256): CumulativeChain {
  const leafTag = utf8('reprise/checkpoint/v1\0')
  const leafInput = new Uint8Array(leafTag.length + 8 + 8 + 1 + 3 * DIGEST_BYTES)
  leafInput.set(leafTag)
  const view = new DataView(leafInput.buffer)
  const linkTag = utf8('reprise/cumulative/v1\0')
  const linkInput = new Uint8Array(linkTag.length + 2 * DIGEST_BYTES)
  linkInput.set(linkTag)
  return {
    start: (id) => tupleDigest(sha256, 'reprise/start/v1', id),
    next(cumulative, leaf) {
      let at = leafTag.length
      view.setBigUint64(at, BigInt(leaf.seq))
      view.setBigUint64((at += 8), leaf.position)
      view.setUint8((at += 8), leaf.kind)
      leafInput.set(leaf.stateRoot, (at += 1))
      leafInput.set(leaf.outputsRoot, (at += DIGEST_BYTES))
      leafInput.set(leaf.outcome, at + DIGEST_BYTES)
      linkInput.set(cumulative, linkTag.length)
      linkInput.set(sha256(leafInput), linkTag.length + DIGEST_BYTES)
      return sha256(linkInput)
    },
  }
}

/** C after each checkpoint of a record, in order, whatever it says of itself. */
export function cumulatives(
  document: Pick<RecordDocument, 'computation' | 'outcome'>,
  checkpoints: readonly Checkpoint[],
  sha256: Sha256,
): Uint8Array[] {
  const next = cumulativeOf(document, sha256)
  return checkpoints.map(next)
}

/** Gives C after each checkpoint that it is called with, in order from the first one on. */
export function cumulativeOf(
  document: Pick<RecordDocument, 'computation' | 'outcome'>,
  sha256: Sha256,
): (checkpoint: Checkpoint) => Uint8Array {
  const chain = cumulativeChain(sha256)
  const final = document.outcome === null ? ZERO_DIGEST : outcomeDigest(document.outcome, sha256)
  let cumulative = chain.start(computationId(document.computation, sha256))
  return ({ seq, kind, position, state, outputs }) => {
    cumulative = chain.next(cumulative, {
      seq,
      kind,
      position: BigInt(position),
      stateRoot: fromHex(state),
      outputsRoot: fromHex(outputs),
      outcome: kind === CHECKPOINT_FINAL ? final : ZERO_DIGEST,
    })
    return cumulative
  }
}

/** What stands before the frames in the bytes that give a snapshotRoot, for frames that come in pieces. */
export function snapshotRootPrefix(stateRoot: Uint8Array, framesBytes: number): Uint8Array {
  return tuple('reprise/snapshot/v1', stateRoot, BigInt(framesBytes))
}

/**
 * What a snapshot restores (spec/measurement.md §5): the state that was measured, and the stack, which is not in it.
 *
 * @param frames - The stack; bytes fixed by the semantics.
 */
export function snapshotRoot(stateRoot: Uint8Array, frames: Uint8Array, sha256: Sha256): Uint8Array {
  return sha256(concat(snapshotRootPrefix(stateRoot, frames.length), frames))
}

/** S before any snapshot (spec/measurement.md §5). */
export function snapshotsStart(computation: Uint8Array, sha256: Sha256): Uint8Array {
  return tupleDigest(sha256, 'reprise/snapshots/start/v1', computation)
}

/** S after one more snapshot. @param link.position - Of the checkpoint at which it was taken. */
export function snapshotsNext(
  before: Uint8Array,
  { snapshot, position }: { readonly snapshot: Snapshot; readonly position: bigint },
  sha256: Sha256,
): Uint8Array {
  const { seq, root, frames, manifest } = snapshot
  const digests = [root, frames, manifest].map(fromHex)
  return tupleDigest(sha256, 'reprise/snapshots/v1', before, BigInt(seq), position, ...digests)
}

/** The chain S over snapshots, and what it was at each checkpoint (spec/measurement.md §5). */
export class SnapshotChain {
  readonly #sha256: Sha256
  readonly #start: Uint8Array
  readonly #links: { readonly seq: number; readonly value: Uint8Array }[] = []

  constructor(computationId: Uint8Array, sha256: Sha256) {
    this.#sha256 = sha256
    this.#start = snapshotsStart(computationId, sha256)
  }

  /** @param position - Of the checkpoint at which the snapshot was taken; `seq` grows from one to the next. */
  add(snapshot: Snapshot, position: bigint): void {
    const before = this.#links.at(-1)?.value ?? this.#start
    this.#links.push({ seq: snapshot.seq, value: snapshotsNext(before, { snapshot, position }, this.#sha256) })
  }

  /** S in a head of checkpoint `seq`: it covers the snapshots up to there, that one included. */
  at(seq: number): Uint8Array {
    let low = 0
    let high = this.#links.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#links[middle].seq <= seq) low = middle + 1
      else high = middle
    }
    return low === 0 ? this.#start : this.#links[low - 1].value
  }
}

/** {@link SnapshotChain} over the snapshots of a record whose checkpoints are all there. */
export function snapshotChain(
  computationId: Uint8Array,
  {
    snapshots,
    checkpoints,
  }: {
    readonly snapshots: readonly Snapshot[]
    readonly checkpoints: { at(seq: number): Checkpoint | undefined }
  },
  sha256: Sha256,
): SnapshotChain {
  const chain = new SnapshotChain(computationId, sha256)
  for (const snapshot of snapshots) {
    const checkpoint = checkpoints.at(snapshot.seq)
    if (checkpoint !== undefined) chain.add(snapshot, BigInt(checkpoint.position))
  }
  return chain
}

export interface Head {
  readonly runId: Uint8Array
  readonly attempt: number
  readonly firstSeq: number
  readonly seq: number
  readonly cumulative: Uint8Array
  readonly snapshots: Uint8Array
  readonly environmentDigest: Uint8Array
  /** {@link attestationDigest} of the run's attestation before, {@link ZERO_DIGEST} at first. */
  readonly previous: Uint8Array
}

export function headDigest(head: Head, sha256: Sha256): Uint8Array {
  const counts = [BigInt(head.attempt), BigInt(head.firstSeq), BigInt(head.seq)]
  const digests = [head.cumulative, head.snapshots, head.environmentDigest, head.previous]
  return tupleDigest(sha256, 'reprise/head/v1', head.runId, ...counts, ...digests)
}

export function attestationDigest(attest: Uint8Array, signature: Uint8Array, sha256: Sha256): Uint8Array {
  return tupleDigest(sha256, 'reprise/attestation/v1', ...sized(attest), ...sized(signature))
}

/** @param akName - The TPM's Name of the attestation key: nameAlg, then the digest of its public area. */
export function hostId(akName: Uint8Array, sha256: Sha256): Uint8Array {
  return tupleDigest(sha256, 'reprise/host/v1', ...sized(akName))
}

/** The qualifying data of a quote that shows the state of a host to whoever asks, by their nonce (spec/measurement.md §6). */
export function attestDigest(
  asked: { readonly hostId: Uint8Array; readonly nonce: Uint8Array },
  sha256: Sha256,
): Uint8Array {
  return tupleDigest(sha256, 'reprise/attest/v1', asked.hostId, asked.nonce)
}

/** The qualifying data of a quote over a batch of heads (spec/measurement.md §6). */
export function batchDigest(
  batch: { readonly hostId: Uint8Array; readonly seq: bigint; readonly root: Uint8Array },
  sha256: Sha256,
): Uint8Array {
  return tupleDigest(sha256, 'reprise/batch/v1', batch.hostId, batch.seq, batch.root)
}

/** What a host proves when it enrols at an authority (spec/enrolment.md §4). */
export interface EnrolmentProof {
  /** SHA-256 of the SubjectPublicKeyInfo of the authority's root. */
  readonly authority: Uint8Array
  /** The 32 random bytes by which the authority knows the request. */
  readonly request: Uint8Array
  readonly hostId: Uint8Array
  /** Name of the endorsement key. */
  readonly ekName: Uint8Array
  /** What the host asks to be called. */
  readonly name: string
  /** What the credential hid. */
  readonly secret: Uint8Array
}

/** The qualifying data of the quote in an answer to an authority's challenge (spec/enrolment.md §4). */
export function enrolmentDigest(proof: EnrolmentProof, sha256: Sha256): Uint8Array {
  const { authority, request, hostId, ekName, name, secret } = proof
  const said = [ekName, utf8(name), secret].flatMap(sized)
  return tupleDigest(sha256, 'reprise/enrol/v1', authority, request, hostId, ...said)
}
