/** Checks the snapshots of a record against its checkpoints, and walks the chain S. Format: spec/record.md §3.2, §8. */
import { fromHex, hex } from '../bytes/index.ts'
import type { Crypto } from '../crypto.ts'
import { SnapshotChain, snapshotRootPrefix } from '../measure/index.ts'
import {
  blobEntryName,
  CHECKPOINT_FINAL,
  CHECKPOINT_GRID,
  RECORD_ENTRY,
  SNAPSHOTS_ENTRY,
  type Checkpoint,
  type RecordDocument,
  type Snapshot,
  type ZipEntry,
} from '../record/index.ts'
import type { OpenedSnapshots } from './open-snapshots.ts'
import type { OpenedRecord } from './open.ts'

/** Goes along with the walk over the checkpoints. */
export class SnapshotWalk {
  readonly #record: OpenedRecord
  readonly #opened: OpenedSnapshots
  readonly #chain: SnapshotChain
  readonly #crypto: Crypto
  /** The checkpoint of each snapshot that was passed. */
  readonly #checkpoints: Checkpoint[] = []

  constructor(record: OpenedRecord, from: { readonly computationId: Uint8Array; readonly crypto: Crypto }) {
    this.#record = record
    this.#opened = record.snapshots
    this.#crypto = from.crypto
    this.#chain = new SnapshotChain(from.computationId, from.crypto.sha256)
  }

  /** To be called with every checkpoint in order, and with its place among them. */
  pass(checkpoint: Checkpoint, seq: number): void {
    const line = this.#checkpoints.length
    const snapshot = this.#opened.lines[line]
    if (snapshot?.seq !== seq) return
    this.#checkpoints.push(checkpoint)
    this.#chain.add(snapshot, BigInt(checkpoint.position))
    const isFinal = checkpoint.kind === CHECKPOINT_FINAL
    if (!isFinal && (checkpoint.kind !== CHECKPOINT_GRID || seq === 0))
      this.#add(line, `checkpoint ${seq} is neither the final one nor one of kind 1 after the first`)
    const manifest = this.#opened.manifests.get(snapshot.manifest)
    if (manifest === undefined) return
    if (manifest.position !== checkpoint.position || (manifest.phase === 'ended') !== isFinal)
      this.#add(line, `the manifest is of position ${manifest.position}, ${manifest.phase}: not of checkpoint ${seq}`)
    if (manifest.frames !== snapshot.frames) this.#add(line, 'the manifest names other frames')
  }

  /** S in a head of checkpoint `seq`, which must have been passed; undefined when nobody can tell. */
  at(seq: number): Uint8Array | undefined {
    return this.#opened.isBroken ? undefined : this.#chain.at(seq)
  }

  /** To be called after the last checkpoint: what was not passed has no checkpoint, and attached frames give their root. */
  async end(walk: { readonly isBroken: boolean }, { attempts }: RecordDocument): Promise<void> {
    const { lines, isBroken } = this.#opened
    const there = new Set(lines.map(({ seq }) => seq))
    for (const [i, { attempt, from }] of attempts.entries()) {
      if (from === null || isBroken || there.has(from)) continue
      const message = `attempt ${attempt} goes on from a snapshot of checkpoint ${from}, and there is none`
      this.#record.findings.add('SNAPSHOT', `${RECORD_ENTRY} $.attempts[${i}].from`, message)
    }
    const passed = this.#checkpoints.length
    const next = lines.at(passed)
    const before = lines[passed - 1]?.seq ?? -1
    if (next !== undefined && next.seq <= before) this.#add(passed, `checkpoint ${next.seq} after checkpoint ${before}`)
    else if (next !== undefined && !walk.isBroken) this.#add(passed, `checkpoint ${next.seq} is not there`)
    for (const [line, checkpoint] of this.#checkpoints.entries()) await this.#checkRoot(line, lines[line], checkpoint)
  }

  async #checkRoot(line: number, { frames, root }: Snapshot, { state }: Checkpoint): Promise<void> {
    const entry = this.#record.blob(frames)
    if (entry === undefined) return
    try {
      if ((await this.#rootOf(entry, state)) !== root) this.#add(line, 'state and frames do not give the root')
    } catch (error) {
      this.#record.findings.addError(error, 'SNAPSHOT', blobEntryName(frames))
    }
  }

  async #rootOf(frames: ZipEntry, state: string): Promise<string> {
    const stream = this.#crypto.sha256Stream()
    stream.update(snapshotRootPrefix(fromHex(state), frames.lengthBytes))
    for await (const chunk of frames.chunks()) stream.update(chunk)
    return hex(stream.digest())
  }

  #add(line: number, message: string): void {
    this.#record.findings.add('SNAPSHOT', `${SNAPSHOTS_ENTRY}:${line + 1}`, message)
  }
}
