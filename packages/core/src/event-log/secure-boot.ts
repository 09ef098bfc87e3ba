/**
 * Is Secure Boot on? Format: spec/event-log.md §6.2.
 *
 * Source: TCG PC Client Platform Firmware Profile 1.06 §3.3.4.8 (PCR 7); shim's MokSBState, by which shim stops checking.
 */

import { known, unknown, type Fact, type MeasuredEvent } from './fact.ts'
import { GUID } from './guid.ts'
import { decodeVariable, type UefiVariable } from './uefi.ts'

export function isSecureBoot({ guid, name }: UefiVariable): boolean {
  return guid === GUID.GLOBAL_VARIABLE && name === 'SecureBoot'
}

export function secureBootOf(register: Fact<readonly MeasuredEvent[]>): Fact<'on' | 'off'> {
  if (!register.known) return register
  const separator = register.value.findIndex(({ separates }) => separates !== 'no')
  if (separator < 0) return unknown('PCR 7 has no separator: nothing says what came from the firmware', register.events)
  if (register.value[separator].separates === 'error')
    return unknown('the firmware ended PCR 7 with an error', [register.value[separator].event])
  // Whatever the firmware starts can extend PCR 7 with the same variable; before the separator only the firmware can.
  const variables = register.value.slice(0, separator).flatMap(({ event, bytes }) => {
    const variable = bytes === undefined ? undefined : decodeVariable(bytes)
    return variable !== undefined && isSecureBoot(variable) ? [{ event, value: variable.value }] : []
  })
  const events = variables.map(({ event }) => event)
  if (variables.length === 0) return unknown('no event before the separator of PCR 7 is the variable SecureBoot')
  const states = new Set(variables.map(({ value }) => (value.length === 1 && value[0] <= 1 ? value[0] : undefined)))
  if (states.size > 1) return unknown('the variable SecureBoot was measured with different values', events)
  const [state] = states
  if (state === undefined) return unknown('the variable SecureBoot is neither 0 nor 1', events)
  if (state === 0) return known('off', { pcrs: [7], events })
  return shimState(register.value, events)
}

/** Shim measures MokSBState when it is set. Anybody may add such an event and nobody can take one away, so one is enough. */
function shimState(register: readonly MeasuredEvent[], events: readonly number[]): Fact<'on' | 'off'> {
  const unchecked = register.filter(({ bytes }) => {
    const variable = bytes === undefined ? undefined : decodeVariable(bytes)
    if (variable === undefined || variable.guid !== GUID.SHIM_LOCK || variable.name !== 'MokSBState') return false
    return variable.value.some((byte) => byte !== 0)
  })
  if (unchecked.length === 0) return known('on', { pcrs: [7], events })
  return known('off', { pcrs: [7], events: [...events, ...unchecked.map(({ event }) => event)] })
}
