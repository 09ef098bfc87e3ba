/** A firmware event log as it was found, and back to the same bytes. Format: spec/event-log.md §2. */

import { concat } from '../bytes/index.ts'
import type { BankName } from './bank.ts'
import { u16le, u32le } from './little-endian.ts'
import type { LogNote } from './note.ts'

export interface LogBank {
  /** TPM_ALG number. */
  readonly alg: number
  /** Undefined for an algorithm that is not known here. */
  readonly name: BankName | undefined
  /** Length of a digest, in bytes, as the log says it. */
  readonly lengthBytes: number
}

export interface LogDigest {
  readonly alg: number
  readonly digest: Uint8Array
}

export interface LogEvent {
  /** From 0; the Spec ID event counts, as in the output of tpm2_eventlog. */
  readonly index: number
  readonly offsetBytes: number
  /** 0 to 23, or 0xffffffff for an informative event of no register. */
  readonly pcr: number
  readonly type: number
  readonly digests: readonly LogDigest[]
  readonly data: Uint8Array
}

/** TCG_EfiSpecIDEvent, Firmware Profile §10.4.5.1. */
export interface SpecId {
  readonly platformClass: number
  readonly minor: number
  readonly major: number
  readonly errata: number
  readonly uintnSize: number
  readonly banks: readonly LogBank[]
  readonly vendorInfo: Uint8Array
}

export interface EventLog {
  /** TCG_PCR_EVENT throughout (TPM 1.2 and early TPM 2.0 firmware), or TCG_PCR_EVENT2 behind a Spec ID event. */
  readonly format: 'sha1' | 'crypto-agile'
  readonly specId: SpecId | undefined
  readonly banks: readonly LogBank[]
  readonly events: readonly LogEvent[]
  /** Filling after the last event, all 0xff or all zero. */
  readonly tail: Uint8Array
  /** In the order of their offsets. */
  readonly notes: readonly LogNote[]
}

/** The bytes that {@link EventLog} was parsed from. */
export function encodeEventLog(log: EventLog): Uint8Array {
  const parts = log.events.map((event) =>
    log.format === 'sha1' || event.index === 0 ? encodeSha1Event(event) : encodeAgileEvent(event),
  )
  return concat(...parts, log.tail)
}

/** TCG_PCR_EVENT, Firmware Profile §10.2.1. */
function encodeSha1Event({ pcr, type, digests, data }: LogEvent): Uint8Array {
  return concat(u32le(pcr), u32le(type), ...digests.map(({ digest }) => digest), u32le(data.length), data)
}

/** TCG_PCR_EVENT2, Firmware Profile §10.2.2. */
function encodeAgileEvent({ pcr, type, digests, data }: LogEvent): Uint8Array {
  const values = digests.flatMap(({ alg, digest }) => [u16le(alg), digest])
  return concat(u32le(pcr), u32le(type), u32le(digests.length), ...values, u32le(data.length), data)
}

export function digestOf(event: LogEvent, alg: number): Uint8Array | undefined {
  return event.digests.find((each) => each.alg === alg)?.digest
}
