/** The logs of a host beside registers that its TPM quoted. Format: spec/host.md §3. */
import { equal, fromHex, hex } from '../bytes/index.ts'
import type { HashAlgorithm } from '../crypto.ts'
import { EvidenceError } from '../error.ts'
import { type BankHash, startValue } from '../event-log/bank.ts'
import { compareRegisters, type Comparison, type RegisterComparison } from '../event-log/compare.ts'
import { type BootFacts, factsOf } from '../event-log/facts.ts'
import { coveredImaEntries, IMA_PCR, type ImaCoverage } from '../event-log/ima-replay.ts'
import { type ImaList, parseImaList } from '../event-log/ima.ts'
import type { EventLog } from '../event-log/log.ts'
import { parseEventLog } from '../event-log/parse.ts'
import { isExtended, replayEventLog, type Replay } from '../event-log/replay.ts'
import { decodeOwnLog, OWN_LOG_PCR, ownLogValues, replaysTo, type OwnLog } from './own-log.ts'
import type { HostRules } from './host-rules.ts'

export type LogKind = 'boot' | 'ima' | 'own'

/** What became of a log that was to be read. */
export type ReadLog<T> =
  | { readonly kind: 'absent'; readonly why: string }
  | { readonly kind: 'unreadable'; readonly why: string }
  | { readonly kind: 'read'; readonly log: T }

export interface BootLog {
  readonly events: EventLog
  readonly replay: Replay
}

export interface HostLogs {
  readonly boot: ReadLog<BootLog>
  readonly ima: ReadLog<ImaList>
  readonly own: ReadLog<OwnLog>
}

type Hash = (algorithm: HashAlgorithm, data: Uint8Array) => Uint8Array

/** SM3 is nobody's to give here. */
export function bankHash(hash: Hash): BankHash {
  return (bank, data) => (bank === 'sm3_256' ? undefined : hash(bank, data))
}

/** @throws What is no {@link EvidenceError}. */
function reading<T>(read: () => T): ReadLog<T> {
  try {
    return { kind: 'read', log: read() }
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error
    return { kind: 'unreadable', why: error.message }
  }
}

export function readBootLog(bytes: Uint8Array, hash: Hash): ReadLog<BootLog> {
  return reading(() => {
    const events = parseEventLog(bytes)
    return { events, replay: replayEventLog(events, bankHash(hash)) }
  })
}

export function readImaList(bytes: Uint8Array): ReadLog<ImaList> {
  return reading(() => parseImaList(bytes))
}

export function readOwnLog(bytes: Uint8Array, hash: Hash): ReadLog<OwnLog> {
  return reading(() => decodeOwnLog(bytes, (data) => hash('sha256', data)))
}

/** Registers that hold what firmware and boot loaders measured of themselves. */
export const FIRMWARE_PCRS = [0, 1, 2, 3, 4, 5, 6, 7]
/** Registers that facts of a boot log rest on besides (spec/event-log.md §6). */
const BOOT_PCRS = [8, 9, 11, 12, 14]

/**
 * The registers that a quote must cover for these logs and rules to speak; 0 to 7 always.
 *
 * @returns Ascending.
 */
export function wantedRegisters(logs: HostLogs, rules: HostRules | undefined): readonly number[] {
  const wanted = new Set(FIRMWARE_PCRS)
  if (logs.own.kind === 'read') wanted.add(OWN_LOG_PCR)
  if (logs.boot.kind === 'read') {
    for (const pcr of BOOT_PCRS) wanted.add(pcr)
    for (const event of logs.boot.log.events.events) if (isExtended(event)) wanted.add(event.pcr)
  }
  if (logs.ima.kind === 'read') for (const pcr of imaRegisters(logs.ima.log)) wanted.add(pcr)
  for (const pcr of demandedRegisters(rules)) wanted.add(pcr)
  return [...wanted].toSorted((a, b) => a - b)
}

/** Those whose values a computation's rules name: a quote without them is none for it. */
export function demandedRegisters(rules: HostRules | undefined): readonly number[] {
  const named = Object.keys(rules?.pcrs?.sha256 ?? {}).map(Number)
  const listed = (rules?.eventLog ?? []).flatMap((rule) => (rule.kind === 'pcr' ? [rule.pcr] : []))
  const own = rules?.engines === undefined ? [] : [OWN_LOG_PCR]
  return [...new Set([...named, ...listed, ...own])].toSorted((a, b) => a - b)
}

/** One register in every list that was seen; a policy may name another than 10. */
export function imaRegisters({ entries }: ImaList): readonly number[] {
  const pcrs = new Set(entries.map(({ pcr }) => pcr))
  return pcrs.size === 0 ? [IMA_PCR] : [...pcrs]
}

/** What a TPM quoted: values of bank SHA-256 by register, and the power cycle that they belong to. */
export interface Quoted {
  readonly pcrs: Readonly<Record<string, Uint8Array>>
  readonly resetCount: number
  readonly restartCount: number
}

export function quotedOf(
  pcrs: Readonly<Record<string, string>>,
  { resetCount, restartCount }: { readonly resetCount: number; readonly restartCount: number },
): Quoted {
  const values = Object.entries(pcrs).map(([pcr, value]) => [pcr, fromHex(value)])
  return { pcrs: Object.fromEntries(values) as Record<string, Uint8Array>, resetCount, restartCount }
}

/** {@link quotedOf} of one attestation after the other: the same object as long as nothing changes. */
export function quotedInARow(): typeof quotedOf {
  let known: { readonly shown: Parameters<typeof quotedOf>[0]; readonly quoted: Quoted } | undefined
  return (pcrs, clock) => {
    const { quoted } = known ?? {}
    const isSameCycle = quoted?.resetCount === clock.resetCount && quoted.restartCount === clock.restartCount
    if (quoted !== undefined && isSameCycle && known?.shown === pcrs) return quoted
    known = { shown: pcrs, quoted: quotedOf(pcrs, clock) }
    return known.quoted
  }
}

export type BootState =
  | { readonly kind: 'absent' | 'unreadable'; readonly why: string }
  | {
      readonly kind: 'read'
      readonly comparison: Comparison
      readonly facts: BootFacts
      /** Of registers 0 to 7, those that do not hold what the log says. */
      readonly misfits: readonly RegisterComparison[]
    }

export type ImaState =
  | { readonly kind: 'absent' | 'unreadable'; readonly why: string }
  /** `coverage` is undefined when no first part of the list replays to the quoted value. */
  | { readonly kind: 'read'; readonly entries: number; readonly coverage: ImaCoverage | undefined }

export type OwnState =
  | { readonly kind: 'absent' | 'unreadable'; readonly why: string }
  | { readonly kind: 'differs'; readonly log: OwnLog; readonly why: string }
  /**
   * It replays to the quoted value. `start`: from the value that the register has when a TPM starts, or to which the boot log brings
   * it; `unknown`: something else was extended before it.
   */
  | { readonly kind: 'replays'; readonly log: OwnLog; readonly from: 'start' | 'unknown' }

export interface HostState {
  readonly boot: BootState
  readonly own: OwnState
}

export function assessHost(logs: HostLogs, quoted: Quoted, hash: Hash): HostState {
  return { boot: assessBoot(logs.boot, quoted, hash), own: assessOwn(logs, quoted, hash) }
}

function assessBoot(read: ReadLog<BootLog>, { pcrs }: Quoted, hash: Hash): BootState {
  if (read.kind !== 'read') return read
  const { events: log, replay } = read.log
  const asked = { log, hash: bankHash(hash) }
  // What this host extended into the register of its own log is no event of the firmware.
  const values = Object.fromEntries(Object.entries(pcrs).filter(([pcr]) => Number(pcr) !== OWN_LOG_PCR))
  const comparison = compareRegisters({ ...asked, replay, quoted: { sha256: values } })
  const misfits = comparison.registers.filter(
    ({ pcr, state }) => FIRMWARE_PCRS.includes(pcr) && state.kind !== 'equal' && state.kind !== 'untouched',
  )
  return { kind: 'read', comparison, facts: factsOf({ ...asked, comparison }), misfits }
}

function assessOwn({ own, boot }: HostLogs, quoted: Quoted, hash: Hash): OwnState {
  if (own.kind !== 'read') return own
  const { log } = own
  const differs = (why: string): OwnState => ({ kind: 'differs', log, why })
  const { register, resetCount, restartCount } = log.begin
  if (resetCount !== quoted.resetCount || restartCount !== quoted.restartCount)
    return differs('it began in another power cycle of the TPM than the quote was made in')
  const value = Object.hasOwn(quoted.pcrs, OWN_LOG_PCR) ? quoted.pcrs[OWN_LOG_PCR] : undefined
  if (value === undefined) return differs(`PCR ${OWN_LOG_PCR} was not quoted`)
  const sha256 = (data: Uint8Array): Uint8Array => hash('sha256', data)
  if (!replaysTo(log, value, sha256)) {
    const end = hex(ownLogValues(log, sha256).at(-1) as Uint8Array)
    return differs(`it replays to ${end}, and PCR ${OWN_LOG_PCR} was quoted with ${hex(value)}`)
  }
  return { kind: 'replays', log, from: equal(fromHex(register), startOf(boot)) ? 'start' : 'unknown' }
}

function startOf(boot: ReadLog<BootLog>): Uint8Array {
  const bank = boot.kind === 'read' ? boot.log.replay.banks.find((each) => each.bank === 'sha256') : undefined
  return bank?.registers.get(OWN_LOG_PCR)?.value ?? startValue('sha256', OWN_LOG_PCR)
}

/** Goes through the list, which may be long. */
export function assessIma(read: ReadLog<ImaList>, { pcrs }: Quoted, hash: Hash): ImaState {
  if (read.kind !== 'read') return read
  const [pcr, ...others] = imaRegisters(read.log)
  const quoted = Object.hasOwn(pcrs, pcr) ? pcrs[pcr] : undefined
  const coverage =
    quoted === undefined || others.length > 0
      ? undefined
      : coveredImaEntries({ list: read.log, bank: 'sha256', hash: bankHash(hash), pcr, quoted })
  return { kind: 'read', entries: read.log.entries.length, coverage }
}
