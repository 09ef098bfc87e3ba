/** The logs of a host as a record carries them: in the store, named by their digests. Format: spec/host.md §1. */
import { carriedLogs, logEntryName, type EnvironmentLog } from '@reprise/core'
import type { FoundLog } from '@reprise/host'
import type { BlobStore } from '../blobs/index.ts'
import type { JournalRun } from '../journal/index.ts'
import type { LoadedRecord } from '../record/index.ts'

/** Puts what was found into the store. @returns What an environment says of it, in its order. */
export async function keepLogs(found: readonly FoundLog[], store: BlobStore): Promise<readonly EnvironmentLog[]> {
  const logs: EnvironmentLog[] = []
  for (const log of found) {
    if ('bytes' in log) logs.push({ kind: log.kind, ...(await store.putBytes(log.bytes)), source: log.source })
    else logs.push({ kind: log.kind, leftOut: log.leftOut })
  }
  return logs.toSorted((a, b) => (a.kind < b.kind ? -1 : 1))
}

/** Digests of all logs that the attempts of a run name. */
export function logsOf({ attempts }: Pick<JournalRun, 'attempts'>): readonly string[] {
  return [...new Set(attempts.flatMap(({ environment }) => carriedLogs(environment).map(({ sha256 }) => sha256)))]
}

/** Takes the logs of a record into the store, so that its run can have a record here. */
export async function adoptLogs(record: LoadedRecord, store: BlobStore): Promise<void> {
  for (const sha256 of logsOf(record.document)) {
    const bytes = await record.evidence(logEntryName(sha256))
    if (bytes !== undefined) await store.putBytes(bytes)
  }
}
