/** The chains of a run up to one of its checkpoints, gone along in its journal. */
import {
  computationId,
  cumulativeOf,
  snapshotsNext,
  snapshotsStart,
  type Checkpoint,
  type Snapshot,
} from '@reprise/core'
import { nodeCrypto } from '../crypto.ts'
import type { JournalRun } from '../journal/index.ts'

export interface ChainsAt {
  readonly checkpoint: Checkpoint
  /** C and S (spec/measurement.md §5). */
  readonly cumulative: Uint8Array
  readonly snapshots: Uint8Array
}

/**
 * C and S at checkpoint `seq`, which must be there.
 *
 * @param snapshots - Those that count, by seq.
 */
export async function chainsAt(run: JournalRun, seq: number, snapshots: readonly Snapshot[]): Promise<ChainsAt> {
  const { sha256 } = nodeCrypto
  const next = cumulativeOf(run, sha256)
  let s = snapshotsStart(computationId(run.computation, sha256), sha256)
  let passed = 0
  for await (const batch of run.checkpoints(0, seq)) {
    for (const checkpoint of batch) {
      const cumulative = next(checkpoint)
      if (snapshots[passed]?.seq === checkpoint.seq) {
        s = snapshotsNext(s, { snapshot: snapshots[passed], position: BigInt(checkpoint.position) }, sha256)
        passed += 1
      }
      if (checkpoint.seq === seq) return { checkpoint, cumulative, snapshots: s }
    }
  }
  throw new Error(`there is no checkpoint ${seq}`)
}
