/** A replayed log against the registers that a TPM quoted. Format: spec/event-log.md §4. */

import { equal } from '../bytes/index.ts'
import { BANKS, PCR_COUNT, startValue, type BankHash, type BankName, type BankValues } from './bank.ts'
import { algOf, extend, type BankReplay, type RegisterReplay, type Replay } from './replay.ts'
import { digestOf, type EventLog } from './log.ts'
import { errorSeparator, separators } from './separator.ts'

export type RegisterState =
  /** The log replays to the quoted value. */
  | { readonly kind: 'equal' }
  /** No event, and the register is as it started. */
  | { readonly kind: 'untouched' }
  /** The quoted value is that before `firstExtra`: what follows happened after the quote or not at all. */
  | { readonly kind: 'prefix'; readonly firstExtra: number }
  /** Equal when PCR 0 starts as after TPM2_Startup from `locality`, which the log does not say. */
  | { readonly kind: 'other-start'; readonly locality: number }
  /** Only a separator was extended in this bank; the log has other events for it. */
  | { readonly kind: 'capped' }
  /** The log has no event for it, yet the register is not as it started. */
  | { readonly kind: 'unlogged' }
  /** The log has no digests of this bank, or its hash is not there. */
  | { readonly kind: 'no-bank' }
  /** No prefix of the log's events gives the quoted value. */
  | { readonly kind: 'differs' }

export interface RegisterComparison {
  readonly bank: BankName
  readonly pcr: number
  readonly state: RegisterState
  /** Events that extend it, in order. */
  readonly events: readonly number[]
}

export interface Comparison {
  /** One for each quoted register, banks in the order of {@link BANKS}. */
  readonly registers: readonly RegisterComparison[]
  /** Registers that the log extends and the quote leaves out: nothing binds those events. */
  readonly notQuoted: readonly { readonly bank: BankName; readonly pcr: number }[]
  /**
   * The first event of the log that stands in a register that does not fit, or the first beyond a prefix that does; undefined
   * when all quoted registers are equal or untouched, or when no event is to blame.
   */
  readonly firstMisfit: number | undefined
}

/** @param compared.quoted - Registers of a quote whose digest and signature hold. Nothing here checks that. */
export function compareRegisters(compared: {
  readonly log: EventLog
  readonly replay: Replay
  readonly quoted: BankValues
  readonly hash: BankHash
}): Comparison {
  const registers: RegisterComparison[] = []
  const notQuoted: { bank: BankName; pcr: number }[] = []
  for (const { name: bank } of BANKS) {
    const replayed = compared.replay.banks.find((each) => each.bank === bank)
    const values = compared.quoted[bank] ?? {}
    for (let pcr = 0; pcr < PCR_COUNT; pcr++) {
      const quoted = Object.hasOwn(values, pcr) ? values[pcr] : undefined
      const register = replayed?.registers.get(pcr)
      if (quoted !== undefined) {
        const state = stateOf({ ...compared, bank, replayed, register, pcr, value: quoted })
        registers.push({ bank, pcr, state, events: register?.extensions.map(({ event }) => event) ?? [] })
      } else if (register !== undefined) notQuoted.push({ bank, pcr })
    }
  }
  const misfits = registers.map(firstEventOf).filter((event) => event !== undefined)
  return { registers, notQuoted, firstMisfit: misfits.length === 0 ? undefined : Math.min(...misfits) }
}

interface Quoted {
  readonly log: EventLog
  readonly hash: BankHash
  readonly bank: BankName
  readonly replayed: BankReplay | undefined
  readonly register: RegisterReplay | undefined
  readonly pcr: number
  readonly value: Uint8Array
}

function stateOf(quoted: Quoted): RegisterState {
  const { bank, replayed, register, pcr, value } = quoted
  if (replayed === undefined) return { kind: 'no-bank' }
  if (register === undefined) {
    const untouched = LOCALITIES.some((locality) => equal(value, startValue(bank, pcr, locality)))
    return { kind: untouched ? 'untouched' : 'unlogged' }
  }
  if (equal(value, register.value)) return { kind: 'equal' }
  if (equal(value, register.start)) return { kind: 'prefix', firstExtra: register.extensions[0].event }
  const last = register.extensions.findIndex((extension) => equal(extension.value, value))
  if (last >= 0) return { kind: 'prefix', firstExtra: register.extensions[last + 1].event }
  const locality = pcr === 0 ? otherStart(quoted, register) : undefined
  if (locality !== undefined) return { kind: 'other-start', locality }
  return { kind: isCapped(quoted) ? 'capped' : 'differs' }
}

/** Where PCR 0 may start: after TPM2_Startup from locality 0 or 3, or after an H-CRTM. */
const LOCALITIES = [0, 3, 4]

function otherStart(quoted: Quoted, { extensions }: RegisterReplay): number | undefined {
  const alg = algOf(quoted.bank)
  return LOCALITIES.find((locality) => {
    let value = startValue(quoted.bank, 0, locality)
    for (const { event } of extensions) {
      const digest = digestOf(quoted.log.events[event], alg)
      if (digest !== undefined) value = extend(quoted, value, digest)
    }
    return equal(value, quoted.value)
  })
}

/** Firmware that does not measure into a bank extends a separator there, so that nobody else can begin with it. */
function isCapped(quoted: Quoted): boolean {
  const start = startValue(quoted.bank, quoted.pcr)
  return [...separators(quoted), errorSeparator(quoted)].some((digest) =>
    equal(extend(quoted, start, digest), quoted.value),
  )
}

function firstEventOf({ state, events }: RegisterComparison): number | undefined {
  if (state.kind === 'prefix') return state.firstExtra
  return state.kind === 'differs' || state.kind === 'capped' || state.kind === 'other-start' ? events[0] : undefined
}
