/**
 * Driving a machine from checkpoint to checkpoint. Who drives decides nothing about the execution:
 * a run, a repetition and a search for a difference all come through here.
 */
import {
  CHECKPOINT_FINAL,
  CHECKPOINT_GRID,
  CHECKPOINT_REQUESTED,
  type CheckpointKind,
  type Machine,
  type Measurement,
  type Stop,
} from '@reprise/core'

export type Ended = Extract<Stop, { kind: 'exited' | 'trapped' | 'interrupted' }>

/** A stop at which the machine is measured; the hashing may still be going on. */
export interface Measured {
  readonly seq: number
  readonly kind: CheckpointKind
  readonly stop: Stop | undefined
  readonly measurement: Promise<Measurement>
}

export interface Driver {
  /** Which position the next grid checkpoint wants after one at `position`. */
  readonly nextDue: (position: bigint, memoryBytes: number) => bigint
  /**
   * Called at every checkpoint while the machine stands, in order. The machine goes on when the
   * answer is there; `stop` ends the drive.
   */
  readonly onCheckpoint: (checkpoint: Measured) => Promise<'go' | 'stop'>
}

/** Where a machine that was restored stands: a checkpoint that is known already. */
export interface DriveFrom {
  readonly seq: number
  readonly position: bigint
}

/**
 * Measures the machine at its start (unless it was restored at a checkpoint), at every position that is due or requested, and at its end.
 *
 * @returns How it ended; undefined when the driver said `stop`.
 */
export async function drive(
  machine: Machine & { readonly memoryBytesAtStart: number },
  driver: Driver,
  from?: DriveFrom,
): Promise<Ended | undefined> {
  let seq = from?.seq ?? 0
  if (from === undefined) {
    const measurement = machine.measure()
    const first = await driver.onCheckpoint({ seq, kind: CHECKPOINT_GRID, stop: undefined, measurement })
    if (first === 'stop') return undefined
  }
  let due = driver.nextDue(from?.position ?? 0n, machine.memoryBytesAtStart)
  for (;;) {
    const stop = await machine.runTo(due)
    if (stop.kind === 'interrupted') return stop
    const kind = checkpointKind(stop)
    seq += 1
    if ((await driver.onCheckpoint({ seq, kind, stop, measurement: machine.measure() })) === 'stop') return undefined
    if (stop.kind === 'exited' || stop.kind === 'trapped') return stop
    // A requested checkpoint leaves the grid where it was.
    if (kind === CHECKPOINT_GRID) due = driver.nextDue(stop.position, stop.memoryBytes)
  }
}

function checkpointKind(stop: Stop): CheckpointKind {
  switch (stop.kind) {
    case 'due':
      return CHECKPOINT_GRID
    case 'requested':
      return CHECKPOINT_REQUESTED
    default:
      return CHECKPOINT_FINAL
  }
}
