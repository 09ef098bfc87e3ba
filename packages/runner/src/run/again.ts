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
  /** The checkpoint of the snapshot. */
  readonly checkpoint: Checkpoint
  /** Signed after the snapshot, by seq: computed again, each must come out equal. */
  readonly expected: { readonly last: number; readonly stream: Cursor<Checkpoint> }
}

export interface Again {
  /** Measures the restored machine. @throws RunnerError `DETERMINISM` when it is not the one that was saved. */
  restored(): Promise<DriveFrom>
  /** To be called with each checkpoint in order. @throws RunnerError `DETERMINISM` when it was signed otherwise. */
  check(measured: Measured, measurement: Measurement): Promise<void>
}

export function createAgain(before: SignedBefore, parts: Omit<AlarmParts, 'earlier' | 'run'>): Again {
  const { run, snapshot, manifest, checkpoint, expected } = before
  const alarmParts: AlarmParts = { ...parts, run: run.run, earlier: { run, snapshot } }
  return {
    async restored() {
      const measurement = await parts.machine.measure()
      const actual = checkpointOf(checkpoint.seq, checkpoint.kind, measurement)
      if (!isSame(checkpoint, actual)) throw await raiseAlarm(alarmParts, { expected: checkpoint, actual, manifest })
      return { seq: checkpoint.seq, position: measurement.position }
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
