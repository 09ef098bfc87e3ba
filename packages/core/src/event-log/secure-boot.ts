/**
 * Is Secure Boot on? Format: spec/event-log.md §6.2.
 *
 * Source: TCG PC Client Platform Firmware Profile 1.06 §3.3.4.8 (PCR 7); shim 15 `mok.c`: MokSBState is 1 where it shall check nothing.
 */

import { equal } from '../bytes/index.ts'
import type { BankHash, BankName } from './bank.ts'
import { known, unknown, type Fact, type MeasuredEvent } from './fact.ts'
import { GUID } from './guid.ts'
import { decodeVariable, encodeVariable, type UefiVariable } from './uefi.ts'

interface Bank {
  readonly bank: BankName
  readonly hash: BankHash
}

export function isSecureBoot({ guid, name }: Omit<UefiVariable, 'value'>): boolean {
  return guid === GUID.GLOBAL_VARIABLE && name === 'SecureBoot'
}

export function secureBootOf(register: Fact<readonly MeasuredEvent[]>, bank: Bank): Fact<'on' | 'off'> {
  if (!register.known) return register
  const separator = register.value.findIndex(({ separates }) => separates !== 'no')
  if (separator < 0) return unknown('PCR 7 has no separator: nothing says what came from the firmware', register.events)
  if (register.value[separator].separates === 'error')
    return unknown('the firmware ended PCR 7 with an error', [register.value[separator].event])
  // Whatever the firmware starts can extend PCR 7 with the same variable; before the separator only the firmware can.
  const states = secureBootStates(register.value.slice(0, separator), bank)
  const events = states.map(({ event }) => event)
  const [state, ...others] = new Set(states.map(({ value }) => value))
  if (states.length === 0) return unknown('no event before the separator of PCR 7 is the variable SecureBoot')
  if (others.length > 0) return unknown('the variable SecureBoot was measured with different values', events)
  if (state === undefined) return unknown('the variable SecureBoot is neither 0 nor 1', events)
  return state === 0
    ? known('off', { pcrs: [7], events })
    : underShim(register.value.slice(separator + 1), events, bank)
}

/**
 * Found by digest where the value is an ordinary one, so that a log cannot hide an event by other data; else by the bytes that the
 * digest covers.
 */
function secureBootStates(
  events: readonly MeasuredEvent[],
  bank: Bank,
): { readonly event: number; readonly value: 0 | 1 | undefined }[] {
  const ordinary = ([0, 1, undefined] as const).map((value) => ({
    value,
    digest: digestOfVariable({ guid: GUID.GLOBAL_VARIABLE, name: 'SecureBoot', value }, bank),
  }))
  return events.flatMap(({ event, digest, bytes }) => {
    const found = ordinary.find((each) => equal(each.digest, digest))
    if (found !== undefined) return [{ event, value: found.value }]
    const variable = bytes === undefined ? undefined : decodeVariable(bytes)
    return variable !== undefined && isSecureBoot(variable) ? [{ event, value: undefined }] : []
  })
}

/** Shim measures MokSBState behind the separator. Anybody may add such an event and nobody can take one away: one is enough. */
function underShim(later: readonly MeasuredEvent[], events: readonly number[], bank: Bank): Fact<'on' | 'off'> {
  const unchecked = digestOfVariable({ guid: GUID.SHIM_LOCK, name: 'MokSBState', value: 1 }, bank)
  const told = later.filter(({ digest }) => equal(digest, unchecked)).map(({ event }) => event)
  if (told.length > 0) return known('off', { pcrs: [7], events: [...events, ...told] })
  const hidden = later.filter(({ bytes }) => bytes === undefined).map(({ event }) => event)
  if (hidden.length === 0) return known('on', { pcrs: [7], events })
  return unknown(
    'the data of events in PCR 7 are not what was measured: shim may have been told to check nothing',
    hidden,
  )
}

function digestOfVariable(
  { guid, name, value }: { readonly guid: string; readonly name: string; readonly value: 0 | 1 | undefined },
  { bank, hash }: Bank,
): Uint8Array {
  const bytes = value === undefined ? new Uint8Array() : Uint8Array.of(value)
  return hash(bank, encodeVariable({ guid, name, value: bytes })) ?? new Uint8Array()
}
