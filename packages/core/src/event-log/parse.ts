/**
 * Parses the binary event log of a TCG firmware, exactly: it is read to its last byte or refused, and all that departs from
 * the specification and is read all the same becomes a note. Format: spec/event-log.md §2.
 *
 * Source: TCG PC Client Platform Firmware Profile 1.06 §10; TCG EFI Platform Specification 1.22 §7 for TPM 1.2.
 */

import { TruncatedError, utf8 } from '../bytes/index.ts'
import { EvidenceError } from '../error.ts'
import { BANKS, PCR_COUNT } from './bank.ts'
import { EV, eventTypeName } from './event-type.ts'
import { LittleEndianReader } from './little-endian.ts'
import type { EventLog, LogBank, LogDigest, LogEvent, SpecId } from './log.ts'
import type { LogNote, LogNoteCode } from './note.ts'

const MiB = 1 << 20

/** The largest log seen in the field has 128 KiB. */
export const EVENT_LOG_BYTES_MAX = 8 * MiB
export const EVENTS_MAX = 65_536
export const EVENT_DATA_BYTES_MAX = 2 * MiB
export const LOG_BANKS_MAX = 16
const DIGEST_BYTES_MAX = 128
const PCR_NONE = 0xffffffff

const SHA1: LogBank = { alg: BANKS[0].alg, name: 'sha1', lengthBytes: BANKS[0].lengthBytes }
const SPEC_ID_SIGNATURE = utf8('Spec ID Event03\0')

interface Parsing {
  readonly reader: LittleEndianReader
  readonly events: LogEvent[]
  readonly notes: LogNote[]
}

/**
 * @param bytes - The log, as the kernel shows it in `binary_bios_measurements` or as the ACPI area holds it.
 * @throws {@link EvidenceError} `STRUCTURE` or `LIMIT`; `data` has `offsetBytes` and `event` of what is wrong.
 */
export function parseEventLog(bytes: Uint8Array): EventLog {
  if (bytes.length > EVENT_LOG_BYTES_MAX)
    throw failure('LIMIT', 0, 0, `belongs to a log of ${bytes.length} bytes; at most ${EVENT_LOG_BYTES_MAX} are read`)
  if (bytes.every((byte) => byte === bytes[0])) throw failure('STRUCTURE', 0, 0, 'is missing: the log is empty')
  const parsing: Parsing = { reader: new LittleEndianReader(bytes), events: [], notes: [] }
  const first = guarded(parsing, 0, () => readSha1Event(parsing))
  const specId = isSpecId(first) ? guarded(parsing, 0, () => decodeSpecId(first)) : undefined
  if (specId !== undefined) checkHeader(parsing, first, specId)
  else checkEvent(parsing, first, [SHA1])
  parsing.events.push(first)
  const banks = specId?.banks ?? [SHA1]
  const tail = readEvents(parsing, banks, specId !== undefined)
  const { events, notes } = parsing
  return { format: specId === undefined ? 'sha1' : 'crypto-agile', specId, banks, events, tail, notes }
}

function readEvents(parsing: Parsing, banks: readonly LogBank[], agile: boolean): Uint8Array {
  const { reader, events } = parsing
  while (reader.remainingBytes > 0) {
    const tail = tailOf(parsing)
    if (tail !== undefined) return tail
    const start = reader.offset
    if (events.length === EVENTS_MAX)
      throw failure('LIMIT', start, events.length, `is not read: a log has at most ${EVENTS_MAX} events`)
    const event = guarded(parsing, start, () => (agile ? readAgileEvent(parsing, banks) : readSha1Event(parsing)))
    checkEvent(parsing, event, banks)
    events.push(event)
  }
  return reader.bytes.subarray(reader.offset)
}

/** What follows the last event in an area of fixed size. An event of register 0 whose every byte is zero is none. */
function tailOf({ reader, notes, events }: Parsing): Uint8Array | undefined {
  const rest = reader.bytes.subarray(reader.offset)
  const filling = rest[0]
  if ((filling !== 0 && filling !== 0xff) || rest.some((byte) => byte !== filling)) return undefined
  const code = filling === 0 ? 'TAIL_ZERO' : 'TAIL_FF'
  const what = `${rest.length} bytes of 0x${filling === 0 ? '00' : 'ff'} after event ${events.length - 1}`
  notes.push({ code, offsetBytes: reader.offset, event: undefined, what })
  return rest
}

function readSha1Event({ reader, events }: Parsing): LogEvent {
  const offsetBytes = reader.offset
  const { pcr, type } = readHead(reader, events.length)
  const digests = [{ alg: SHA1.alg, digest: reader.raw(SHA1.lengthBytes) }]
  return { index: events.length, offsetBytes, pcr, type, digests, data: readData(reader, events.length) }
}

function readAgileEvent({ reader, events }: Parsing, banks: readonly LogBank[]): LogEvent {
  const offsetBytes = reader.offset
  const index = events.length
  const { pcr, type } = readHead(reader, index)
  const count = reader.u32()
  if (count > banks.length)
    throw failure('STRUCTURE', offsetBytes, index, `has ${count} digests; the log has ${banks.length} banks`)
  const digests: LogDigest[] = []
  for (let i = 0; i < count; i++) {
    const at = reader.offset
    const alg = reader.u16()
    const bank = banks.find((each) => each.alg === alg)
    if (bank === undefined)
      throw failure(
        'STRUCTURE',
        at,
        index,
        `has a digest of algorithm 0x${alg.toString(16)}, which is no bank of the log`,
      )
    if (digests.some((each) => each.alg === alg))
      throw failure('STRUCTURE', at, index, `has two digests of algorithm 0x${alg.toString(16)}`)
    digests.push({ alg, digest: reader.raw(bank.lengthBytes) })
  }
  return { index, offsetBytes, pcr, type, digests, data: readData(reader, index) }
}

/** Bytes that are no log at all mostly end here. */
function readHead(reader: LittleEndianReader, index: number): { readonly pcr: number; readonly type: number } {
  const at = reader.offset
  const [pcr, type] = [reader.u32(), reader.u32()]
  if (pcr >= PCR_COUNT && (pcr !== PCR_NONE || type !== EV.NO_ACTION))
    throw failure('STRUCTURE', at, index, `is in PCR ${pcr}; there are PCRs 0 to ${PCR_COUNT - 1}`)
  return { pcr, type }
}

function readData(reader: LittleEndianReader, index: number): Uint8Array {
  const at = reader.offset
  const lengthBytes = reader.u32()
  if (lengthBytes > reader.remainingBytes) {
    const what = `has ${lengthBytes} bytes of data; the log ends after ${reader.remainingBytes} of them`
    throw failure('STRUCTURE', at, index, what)
  }
  if (lengthBytes > EVENT_DATA_BYTES_MAX)
    throw failure('LIMIT', at, index, `has ${lengthBytes} bytes of data; at most ${EVENT_DATA_BYTES_MAX} are read`)
  return reader.raw(lengthBytes)
}

function isSpecId({ type, data }: LogEvent): boolean {
  return type === EV.NO_ACTION && SPEC_ID_SIGNATURE.every((byte, i) => data[i] === byte)
}

function decodeSpecId({ offsetBytes, data }: LogEvent): SpecId {
  const refuse = (what: string): EvidenceError =>
    failure('STRUCTURE', offsetBytes, 0, `is a Spec ID event that ${what}`)
  const reader = new LittleEndianReader(data, SPEC_ID_SIGNATURE.length)
  const [platformClass, minor, major, errata] = [reader.u32(), reader.u8(), reader.u8(), reader.u8()]
  const uintnSize = reader.u8()
  if (major !== 2) throw refuse(`has version ${major}.${minor}; only version 2 is known`)
  if (uintnSize !== 1 && uintnSize !== 2) throw refuse(`has uintnSize ${uintnSize}, which is neither 1 nor 2`)
  const count = reader.u32()
  if (count === 0 || count > LOG_BANKS_MAX) throw refuse(`lists ${count} banks; 1 to ${LOG_BANKS_MAX} are read`)
  const banks: LogBank[] = []
  for (let i = 0; i < count; i++) {
    const [alg, lengthBytes] = [reader.u16(), reader.u16()]
    const known = BANKS.find((each) => each.alg === alg)
    const name = `0x${alg.toString(16)}`
    if (banks.some((each) => each.alg === alg)) throw refuse(`lists algorithm ${name} twice`)
    if (
      lengthBytes === 0 ||
      lengthBytes > DIGEST_BYTES_MAX ||
      (known !== undefined && known.lengthBytes !== lengthBytes)
    )
      throw refuse(`gives digests of algorithm ${name} ${lengthBytes} bytes`)
    banks.push({ alg, name: known?.name, lengthBytes })
  }
  const vendorInfo = reader.raw(reader.u8())
  if (reader.remainingBytes > 0) throw refuse(`has ${reader.remainingBytes} bytes too many`)
  return { platformClass, minor, major, errata, uintnSize, banks, vendorInfo }
}

function checkHeader({ notes }: Parsing, header: LogEvent, { banks }: SpecId): void {
  const { offsetBytes, pcr } = header
  if (pcr !== 0) throw failure('STRUCTURE', offsetBytes, 0, `is a Spec ID event in PCR ${pcr}; it belongs to PCR 0`)
  if (header.digests[0].digest.some((byte) => byte !== 0))
    notes.push({ code: 'HEADER_DIGEST', offsetBytes, event: 0, what: 'the digest of the Spec ID event is not zero' })
  for (const { alg, name } of banks) {
    const what = `the bank of algorithm 0x${alg.toString(16)} is not known here: it is not replayed`
    if (name === undefined) notes.push({ code: 'BANK_UNKNOWN', offsetBytes, event: 0, what })
  }
}

/** Notes the departures of an event. */
function checkEvent({ notes }: Parsing, event: LogEvent, banks: readonly LogBank[]): void {
  const { index, offsetBytes, pcr, type, digests } = event
  const note = (code: LogNoteCode, what: string): void => void notes.push({ code, offsetBytes, event: index, what })
  const informative = type === EV.NO_ACTION
  if (pcr === PCR_NONE) note('PCR_NONE', 'an informative event of no register')
  if (eventTypeName(type) === undefined) note('TYPE_UNKNOWN', `type 0x${type.toString(16)} is not in the specification`)
  if (pcr >= 17 && pcr <= 22) note('DYNAMIC_PCR', `PCR ${pcr} belongs to a dynamic launch, which resets it`)
  if (informative && index > 0 && isSpecId(event)) note('SPEC_ID_AGAIN', 'a Spec ID event that is not the first event')
  const zero = digests.filter(({ digest }) => digest.every((byte) => byte === 0)).length
  if (informative) {
    if (zero < digests.length) note('NO_ACTION_DIGEST', 'an event that is not extended has a digest that is not zero')
    return
  }
  if (digests.length < banks.length) {
    const missing = banks.filter(({ alg }) => !digests.some((each) => each.alg === alg))
    note(
      'DIGEST_MISSING',
      `no digest for ${missing.map(({ alg, name }) => name ?? `0x${alg.toString(16)}`).join(', ')}`,
    )
  }
  if (zero > 0 && zero < digests.length) note('DIGEST_ZERO', 'the digest is zero in one bank and not in another')
}

function guarded<T>(parsing: Parsing, offsetBytes: number, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (!(cause instanceof TruncatedError)) throw cause
    throw failure('STRUCTURE', offsetBytes, parsing.events.length, `is cut off: ${cause.message}`, cause)
  }
}

function failure(
  code: 'STRUCTURE' | 'LIMIT',
  offsetBytes: number,
  event: number,
  what: string,
  cause?: unknown,
): EvidenceError {
  return new EvidenceError(code, {
    message: `event log: event ${event} at offset ${offsetBytes} ${what}`,
    hint: 'give the binary log, as /sys/kernel/security/tpm0/binary_bios_measurements has it',
    data: { offsetBytes, event },
    cause,
  })
}
