/** Walks the checkpoints of a record: order, positions, and the chain C. Format: spec/measurement.md §3 to §5. */
import { fromHex } from '../bytes/index.ts'
import { nextGridPosition } from '../engine/index.ts'
import { cumulativeChain, outcomeDigest, ZERO_DIGEST, type CumulativeChain } from '../measure/index.ts'
import type { Sha256 } from '../crypto.ts'
import {
  CHECKPOINT_FINAL,
  CHECKPOINT_GRID,
  CHECKPOINTS_ENTRY,
  type Checkpoint,
  type RecordDocument,
} from '../record/index.ts'
import { KeptCumulatives } from './kept-cumulatives.ts'
import type { OpenedRecord } from './open.ts'
import type { SnapshotWalk } from './snapshots.ts'

/** A cursor over the checkpoints; takes the snapshots along. */
export class CheckpointWalk {
  readonly #record: OpenedRecord
  readonly #document: RecordDocument
  readonly #chain: CumulativeChain
  readonly #outcome: Uint8Array
  readonly #snapshots: SnapshotWalk
  readonly #kept: KeptCumulatives
  readonly #batches: AsyncIterator<readonly Checkpoint[]>
  #batch: readonly Checkpoint[] = []
  #next = 0
  #cumulative: Uint8Array
  #lastGrid = 0n
  #outputs: { readonly text: string; readonly bytes: Uint8Array } = { text: '', bytes: ZERO_DIGEST }
  /** How many checkpoints were walked. */
  count = 0
  last: Checkpoint | undefined
  /** The walk could not go on to the end. */
  isBroken = false

  constructor(
    record: OpenedRecord,
    document: RecordDocument,
    from: { computationId: Uint8Array; sha256: Sha256; snapshots: SnapshotWalk },
  ) {
    this.#record = record
    this.#document = document
    this.#chain = cumulativeChain(from.sha256)
    this.#cumulative = this.#chain.start(from.computationId)
    this.#outcome = document.outcome === null ? ZERO_DIGEST : outcomeDigest(document.outcome, from.sha256)
    this.#snapshots = from.snapshots
    this.#kept = new KeptCumulatives(document.attempts)
    this.#batches = record.checkpoints()[Symbol.asyncIterator]()
  }

  /** C at the last checkpoint walked; before the first one, C_(-1). */
  get cumulative(): Uint8Array {
    return this.#cumulative
  }

  /** C at a checkpoint: at the last one walked, or at one that attempts share; undefined for others. */
  cumulativeAt(seq: number): Uint8Array | undefined {
    return seq === this.count - 1 ? this.#cumulative : this.#kept.at(seq)
  }

  /** As {@link walkTo}, as far as nothing must be read: of a small record nothing but the first checkpoint wants waiting. */
  walkThere(count: number): boolean {
    while (this.count < count && this.#next < this.#batch.length) this.#take(this.#batch[this.#next++])
    return this.count >= count
  }

  /** Goes on until `count` checkpoints are walked; false when there are not as many. */
  async walkTo(count: number): Promise<boolean> {
    while (!this.walkThere(count)) if (!(await this.#fill())) return false
    return true
  }

  async walkToEnd(): Promise<void> {
    await this.walkTo(Number.POSITIVE_INFINITY)
  }

  /** False at the end, and after what cannot be read: then the iterator has ended as well. */
  async #fill(): Promise<boolean> {
    try {
      const { done, value } = await this.#batches.next()
      if (done !== true) {
        this.#batch = value
        this.#next = 0
        return true
      }
    } catch (error) {
      this.#record.findings.addError(error, 'SCHEMA', CHECKPOINTS_ENTRY)
      this.isBroken = true
    }
    return false
  }

  #take(checkpoint: Checkpoint): void {
    const position = BigInt(checkpoint.position)
    const wrong = this.#whatIsWrong(checkpoint, position)
    if (wrong !== undefined)
      this.#record.findings.add('CHECKPOINT_ORDER', `${CHECKPOINTS_ENTRY}:${this.count + 1}`, wrong)
    if (checkpoint.kind === CHECKPOINT_GRID) this.#lastGrid = position
    // Outputs change seldom.
    if (this.#outputs.text !== checkpoint.outputs)
      this.#outputs = { text: checkpoint.outputs, bytes: fromHex(checkpoint.outputs) }
    this.#cumulative = this.#chain.next(this.#cumulative, {
      seq: checkpoint.seq,
      position,
      kind: checkpoint.kind,
      stateRoot: fromHex(checkpoint.state),
      outputsRoot: this.#outputs.bytes,
      outcome: checkpoint.kind === CHECKPOINT_FINAL ? this.#outcome : ZERO_DIGEST,
    })
    this.#kept.keep(this.count, this.#cumulative)
    this.#snapshots.pass(checkpoint, this.count)
    this.last = checkpoint
    this.count++
  }

  #whatIsWrong({ kind, seq }: Checkpoint, position: bigint): string | undefined {
    if (seq !== this.count) return `seq ${seq} where ${this.count} should be`
    if (this.last === undefined) {
      return kind === CHECKPOINT_GRID && position === 0n
        ? undefined
        : 'the first checkpoint is not of kind 1 at position 0'
    }
    if (this.last.kind === CHECKPOINT_FINAL) return 'a checkpoint after the final one'
    if (position < BigInt(this.last.position)) return `position ${position} after ${this.last.position}`
    if (kind !== CHECKPOINT_GRID) return undefined
    const policy = this.#document.computation.checkpoints
    if (policy.kind !== 'grid') return `a grid checkpoint under the policy "${policy.kind}"`
    // The memory's size at the checkpoint before is not told: this is the position that the smallest one gives,
    // and a larger one only moves it up. Repeating shows the rest.
    const earliest = nextGridPosition(policy, this.#lastGrid, 0)
    return position < earliest ? `a grid checkpoint at position ${position}, before ${earliest}` : undefined
  }
}
