/** The logs of an attempt's host as one Canonical Event Log in JSON. Format: spec/event-log.md §9, spec/host.md §2. */
import { writeFile } from 'node:fs/promises'
import {
  bankHash,
  canonicalEventLog,
  carriedLogs,
  EvidenceError,
  logEntryName,
  decodeOwnLog,
  OWN_LOG_PCR,
  parseEventLog,
  parseImaList,
  type LogKind,
} from '@reprise/core'
import { nodeCrypto } from '../crypto.ts'
import { RunnerError, writeFailure } from '../error.ts'
import type { LoadedRecord } from '../record/index.ts'

/**
 * @param attempt - Its number.
 * @returns How many records were written.
 * @throws RunnerError `USAGE` when there is no such attempt; {@link EvidenceError} for a log that cannot be read.
 */
export async function exportCel(record: LoadedRecord, attempt: number, path: string): Promise<number> {
  const found = record.document.attempts[attempt - 1]
  if (found === undefined)
    throw new RunnerError('USAGE', {
      message: `${record.path} has no attempt ${attempt}`,
      hint: `give one from 1 to ${record.document.attempts.length}`,
    })
  const bytesOf = async (kind: LogKind): Promise<Uint8Array | undefined> => {
    const log = carriedLogs(found.environment).find((each) => each.kind === kind)
    if (log === undefined) return undefined
    const bytes = await record.evidence(logEntryName(log.sha256))
    if (bytes === undefined || Buffer.from(nodeCrypto.sha256(bytes)).toString('hex') !== log.sha256)
      throw new EvidenceError('STRUCTURE', {
        message: `the ${kind} log of attempt ${attempt} is missing or was exchanged`,
        hint: `see: reprise verify ${record.path}`,
      })
    return bytes
  }
  const [boot, ima, own] = await Promise.all([bytesOf('boot'), bytesOf('ima'), bytesOf('own')])
  const kernel = canonicalEventLog({
    ...(boot !== undefined && { firmware: parseEventLog(boot) }),
    ...(ima !== undefined && { ima: parseImaList(ima) }),
    hash: bankHash(nodeCrypto.hash),
  })
  // It is in this form already; its register is its own, so its numbers are, too, unless firmware measured into it.
  const before = kernel.filter(({ pcr }) => pcr === OWN_LOG_PCR).length
  const hosts = own === undefined ? [] : ownRecords(own).map((each) => ({ ...each, recnum: each.recnum + before }))
  const records = [...kernel, ...hosts]
  await writeFile(path, `${JSON.stringify(records)}\n`).catch((error: unknown) => {
    throw writeFailure(error, path, 'the event log')
  })
  return records.length
}

interface OwnRecord {
  readonly recnum: number
}

function ownRecords(own: Uint8Array): readonly OwnRecord[] {
  decodeOwnLog(own, nodeCrypto.sha256)
  return JSON.parse(Buffer.from(own).toString('utf8')) as readonly OwnRecord[]
}
