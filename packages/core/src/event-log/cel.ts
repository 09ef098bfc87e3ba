/**
 * Logs in the JSON encoding of the TCG Canonical Event Log Format 1.0. Format: spec/event-log.md §9.
 *
 * Source: TCG Canonical Event Log Format 1.0 rev 0.41 §4 (records), §5.1.2 (pcclient_std), §5.1.4 (ima_template); names as in libcel.
 */

import { hex } from '../bytes/index.ts'
import { BANKS, PCR_COUNT, type BankHash } from './bank.ts'
import { eventTypeName } from './event-type.ts'
import type { ImaEntry, ImaList } from './ima.ts'
import type { EventLog, LogEvent } from './log.ts'

export interface CelRecord {
  /** Counted for each register from 0. */
  readonly recnum: number
  readonly pcr: number
  readonly digests: readonly { readonly hashAlg: string | number; readonly digest: string }[]
  readonly content_type: 'pcclient_std' | 'ima_template'
  readonly content:
    | { readonly event_type: string | number; readonly event_data: string }
    | { readonly template_name: string; readonly template_data: string }
}

/**
 * A firmware log and an IMA list as one sequence of records, to be written as a JSON array or as lines.
 *
 * Events of no register are left out: a record needs one. So are IMA entries whose template data are not known, as of an ASCII
 * list with a template that is not known here. A violation has zeros as digest, as in the list.
 *
 * @param logs.hash - For the digests of IMA entries beside SHA-1, which the list does not have.
 */
export function canonicalEventLog(logs: {
  readonly firmware?: EventLog
  readonly ima?: ImaList
  readonly hash: BankHash
}): readonly CelRecord[] {
  const next = new Map<number, number>()
  const numbered = (pcr: number): { recnum: number; pcr: number } => {
    const recnum = next.get(pcr) ?? 0
    next.set(pcr, recnum + 1)
    return { recnum, pcr }
  }
  const firmware = (logs.firmware?.events ?? []).filter(({ pcr }) => pcr < PCR_COUNT)
  const ima = (logs.ima?.entries ?? []).filter(({ templateData }) => templateData !== undefined)
  return [
    ...firmware.map((event): CelRecord => ({ ...numbered(event.pcr), ...firmwareRecord(event) })),
    ...ima.map((entry): CelRecord => ({ ...numbered(entry.pcr), ...imaRecord(entry, logs.hash) })),
  ]
}

type Numbered = 'recnum' | 'pcr'

function firmwareRecord({ type, digests, data }: LogEvent): Omit<CelRecord, Numbered> {
  return {
    digests: digests.map(({ alg, digest }) => ({ hashAlg: algName(alg), digest: hex(digest) })),
    content_type: 'pcclient_std',
    content: { event_type: eventTypeName(type)?.toLowerCase() ?? type, event_data: hex(data) },
  }
}

function algName(alg: number): string | number {
  return BANKS.find((each) => each.alg === alg)?.name ?? alg
}

function imaRecord(entry: ImaEntry, hash: BankHash): Omit<CelRecord, Numbered> {
  const { violation, template, templateDigest, templateData = new Uint8Array() } = entry
  const sha256 = violation ? new Uint8Array(32) : hash('sha256', templateData)
  const own = sha256 === undefined ? [] : [{ hashAlg: 'sha256', digest: hex(sha256) }]
  return {
    digests: [{ hashAlg: 'sha1', digest: hex(templateDigest) }, ...own],
    content_type: 'ima_template',
    content: { template_name: template, template_data: hex(templateData) },
  }
}
