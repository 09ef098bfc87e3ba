/** The record of a run that left none: of one that was killed, or of one that goes on elsewhere. */
import type { BlobStore } from '../blobs/index.ts'
import { RunnerError } from '../error.ts'
import { isLocked, journalPath, readRun, type JournalRun } from '../journal/index.ts'
import { checkRecordPlace, writeRecord, type AttachLevel } from '../record/index.ts'

export interface ExportRunRequest {
  readonly home: string
  /** The run, whole. */
  readonly run: string
  readonly store: BlobStore
  readonly recordPath: string
  readonly attach: AttachLevel
}

export interface ExportedRun {
  readonly run: JournalRun
  readonly recordBytes: number
  /** A process of this host is at work on the run: what it signs from now on is not in the record. */
  readonly isGoingOn: boolean
}

/**
 * Writes what the journal of a run says as a record.
 *
 * @throws RunnerError `NOT_RESUMABLE` when there is not one whole line; `JOURNAL_DAMAGED`, `BLOB_MISSING`, `USAGE`, `WRITE`, `DISK_FULL`.
 */
export async function exportRun({ home, run, store, recordPath, attach }: ExportRunRequest): Promise<ExportedRun> {
  await checkRecordPlace(recordPath)
  const path = journalPath(home, run)
  const isGoingOn = await isLocked(path)
  const read = await readRun(path)
  if (read.run === undefined || read.run.checkpointCount === 0) {
    throw new RunnerError('NOT_RESUMABLE', {
      message: `the run ${run} was cut off before its first checkpoint: there is nothing to export`,
      hint: 'run the program again',
    })
  }
  const recordBytes = await writeRecord({ path: recordPath, run: read.run, attach, store })
  return { run: read.run, recordBytes, isGoingOn }
}
