/** What was signed has to come out again: the state that a machine was restored to, and the checkpoints after it. */
import type { Checkpoint, Measurement, Snapshot, SnapshotManifest } from '@reprise/core'
import type { Cursor, JournalRun } from '../journal/index.ts'
import { checkpointOf, isSame, raiseAlarm, type AlarmParts } from './alarm.ts'
import type { DriveFrom, Measured } from './drive.ts'

export interface SignedBefore {
  /** What the journal said before this attempt, and what it went on from. */
  readonly run: JournalRun
  readonly snapshot: Snapshot
  readonly manifest: SnapshotManifest
  /** Writes into the journal that this attempt begins: not for one whose snapshot turns out to be damaged. */
  readonly begin: () => Promise<void>
  /** The checkpoint of the snapshot. */
  readonly checkpoint: Checkpoint
  /** Signed after the snapshot, by seq: computed again, each must come out equal. */
  readonly expected: { readonly last: number; readonly stream: Cursor<Checkpoint> }
}

export interface Again {
  readonly from: DriveFrom
  /**
   * The attempt begins with it: to be called once, and had before anything counts that comes of going on, see `restored` of
   * the machine.
   *
   * @throws RunnerError `DETERMINISM` when it is not the one that was saved, `BLOB_CORRUPT` when a pack is to blame.
   */
  restored(): Promise<void>
  /** To be called with each checkpoint in order. @throws RunnerError `DETERMINISM` when it was signed otherwise. */
  check(measured: Measured, measurement: Measurement): Promise<void>
}

export function createAgain(before: SignedBefore, parts: Omit<AlarmParts, 'earlier' | 'run'>): Again {
  const { run, snapshot, manifest, checkpoint, expected } = before
  const alarmParts: AlarmParts = { ...parts, run: run.run, earlier: { run, snapshot } }
  return {
    from: { seq: checkpoint.seq, position: BigInt(checkpoint.position) },
    async restored() {
      const restored = await parts.machine.restored
      await before.begin()
      if (restored === undefined || restored.isExpected) return
      const { measurement, state } = restored
      const actual = checkpointOf(checkpoint.seq, checkpoint.kind, measurement)
      throw await raiseAlarm(alarmParts, { expected: checkpoint, actual, atSnapshot: { manifest, state } })
    },
    async check({ seq, kind }, measurement) {
      if (seq > expected.last) return
      const signed = await expected.stream.next()
      const actual = checkpointOf(seq, kind, measurement)
      if (signed !== undefined && !isSame(signed, actual))
        throw await raiseAlarm(alarmParts, { expected: signed, actual })
    },
  }
}
