/**
 * What the registers hold when every event of a log is extended. Format: spec/event-log.md §3.
 *
 * Source: TCG PC Client Platform Firmware Profile 1.06 §10.4.5.3 (StartupLocality), TPM 2.0 Library rev 1.59 Part 1 §34.3
 * (H-CRTM) and §12.2.3.1 (locality of TPM2_Startup).
 */

import { concat, utf8 } from '../bytes/index.ts'
import { BANKS, PCR_COUNT, startValue, type BankHash, type BankName } from './bank.ts'
import { EV } from './event-type.ts'
import { digestOf, type EventLog, type LogEvent } from './log.ts'
import type { LogNote, LogNoteCode } from './note.ts'

/** One extension: the event, and the value of the register after it. */
export interface Extension {
  readonly event: number
  readonly value: Uint8Array
}

export interface RegisterReplay {
  readonly pcr: number
  readonly start: Uint8Array
  /** In the order of the log; not empty. */
  readonly extensions: readonly Extension[]
  readonly value: Uint8Array
}

export interface BankReplay {
  readonly bank: BankName
  /** Registers that the log extends, by PCR. */
  readonly registers: ReadonlyMap<number, RegisterReplay>
}

export interface Replay {
  /** Banks of the log whose hash is there, in the order of the log. */
  readonly banks: readonly BankReplay[]
  readonly notes: readonly LogNote[]
}

const STARTUP_LOCALITY = utf8('StartupLocality\0')
/** TPM2_Startup comes from locality 0 or 3; 4 stands for an H-CRTM. */
const LOCALITY_MAX = 4
const LOCALITY_HCRTM = 4

export function isExtended({ type, pcr }: LogEvent): boolean {
  return type !== EV.NO_ACTION && pcr < PCR_COUNT
}

export function replayEventLog(log: EventLog, hash: BankHash): Replay {
  const { locality, notes } = startLocality(log.events)
  const banks: BankReplay[] = []
  for (const { alg, name } of log.banks) {
    if (name === undefined) continue
    const registers = replayBank(log, { alg, bank: name, locality, hash })
    if (registers !== undefined) banks.push({ bank: name, registers })
    else notes.push({ code: 'BANK_NO_HASH', offsetBytes: 0, event: undefined, what: `no hash for bank ${name} here` })
  }
  return { banks, notes }
}

function replayBank(
  log: EventLog,
  bank: { readonly alg: number; readonly bank: BankName; readonly locality: number; readonly hash: BankHash },
): ReadonlyMap<number, RegisterReplay> | undefined {
  if (bank.hash(bank.bank, new Uint8Array()) === undefined) return undefined
  const registers = new Map<number, { pcr: number; start: Uint8Array; extensions: Extension[]; value: Uint8Array }>()
  for (const event of log.events) {
    const digest = isExtended(event) ? digestOf(event, bank.alg) : undefined
    if (digest === undefined) continue
    const { pcr } = event
    const start = startValue(bank.bank, pcr, bank.locality)
    const register = registers.get(pcr) ?? { pcr, start, extensions: [], value: start }
    registers.set(pcr, register)
    const value = extend(bank, register.value, digest)
    register.value = value
    register.extensions.push({ event: event.index, value })
  }
  return registers
}

/** TPM2_PCR_Extend. The hash is known to be there. */
export function extend(
  { bank, hash }: { readonly bank: BankName; readonly hash: BankHash },
  value: Uint8Array,
  digest: Uint8Array,
): Uint8Array {
  const next = hash(bank, concat(value, digest))
  if (next === undefined) throw new TypeError(`the hash of bank ${bank} came and went`)
  return next
}

/** What the log says of the start of PCR 0, and of events that say it in vain. */
function startLocality(events: readonly LogEvent[]): { locality: number; notes: LogNote[] } {
  const notes: LogNote[] = []
  let locality: number | undefined
  let extended = false
  for (const event of events) {
    const note = (code: LogNoteCode, what: string): void =>
      void notes.push({ code, offsetBytes: event.offsetBytes, event: event.index, what })
    if (event.type === EV.NO_ACTION && STARTUP_LOCALITY.every((byte, i) => event.data[i] === byte)) {
      const why = whyIgnored(event, { locality, extended })
      if (why !== undefined) {
        note('LOCALITY_IGNORED', why)
        continue
      }
      locality = event.data[STARTUP_LOCALITY.length]
      if (locality > 0) note('LOCALITY', `PCR 0 starts at ${locality}: TPM2_Startup came from locality ${locality}`)
    }
    if (event.type === EV.EFI_HCRTM_EVENT) {
      const counts = event.pcr === 0 && !extended
      if (counts) locality = LOCALITY_HCRTM
      note(counts ? 'HCRTM' : 'HCRTM_IGNORED', counts ? 'PCR 0 starts at 4' : 'not the first extension of PCR 0')
    }
    if (event.pcr === 0 && isExtended(event)) extended = true
  }
  return { locality: locality ?? 0, notes }
}

function whyIgnored(
  { pcr, data }: LogEvent,
  { locality, extended }: { readonly locality: number | undefined; readonly extended: boolean },
): string | undefined {
  if (pcr !== 0) return 'a StartupLocality event outside PCR 0'
  if (data.length !== STARTUP_LOCALITY.length + 1) return `a StartupLocality event of ${data.length} bytes`
  if (data[STARTUP_LOCALITY.length] > LOCALITY_MAX) return `a locality of ${data[STARTUP_LOCALITY.length]}`
  if (extended) return 'a StartupLocality event after the first extension of PCR 0'
  if (locality !== undefined) return 'a second StartupLocality event'
  return undefined
}

/** The TPM_ALG number of a bank. */
export function algOf(bank: BankName): number {
  return BANKS.find(({ name }) => name === bank)?.alg ?? 0
}
