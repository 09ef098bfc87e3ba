/** Cases of vectors/event-log: is Secure Boot on? */

import { utf8 } from '../bytes/index.ts'
import { EV } from './event-type.ts'
import { GUID } from './guid.ts'
import { u32le } from './little-endian.ts'
import type { SampleCase, SampleRules } from './sample-case.ts'
import { boot, secureBoot, separator } from './sample-logs.ts'
import { encodeVariable } from './uefi.ts'

export function secureBootCases(rules: SampleRules): SampleCase[] {
  return [...forgedVariableCases(rules), ...changedLogCases(rules), ...endCases(rules)]
}

const on = secureBoot(1)
const off = secureBoot(0)
const end = separator(7)
/** Secure Boot is off. */
const honest = boot({ firmware: [off, end] })
/** Shim was told to check nothing. */
const unchecked = {
  pcr: 7,
  type: EV.EFI_VARIABLE_AUTHORITY,
  data: encodeVariable({ guid: GUID.SHIM_LOCK, name: 'MokSBState', value: Uint8Array.of(1) }),
}
const other = encodeVariable({ guid: GUID.SHIM_LOCK, name: 'Shim', value: utf8('certificate') })
/** The firmware has no Secure Boot. */
const silent = boot({ firmware: [end] })

function forgedVariableCases({ secure }: SampleRules): SampleCase[] {
  const rules = [secure]
  return [
    {
      name: 'secure-boot-off',
      why: 'Secure Boot is off and the log says so.',
      boot: { truth: honest },
      rules,
      answers: ['unmet'],
    },
    {
      name: 'secure-boot-not-extended',
      why: 'The log of a host without the variable claims that Secure Boot is on, in an event of type EV_NO_ACTION: it replays.',
      boot: { truth: silent, logged: [silent[0], { ...on, type: EV.NO_ACTION }, ...silent.slice(1)] },
      rules,
      answers: ['unknown'],
      notes: ['NOT_EXTENDED'],
    },
    {
      name: 'secure-boot-other-pcr',
      why: 'The host extended PCR 16, which anybody may, with the variable that says on.',
      boot: { truth: [...silent, { ...on, pcr: 16 }] },
      rules,
      answers: ['unknown'],
      notes: ['OTHER_PCR'],
    },
    {
      name: 'secure-boot-twice',
      why: 'Two events before the separator, one on and one off.',
      boot: { truth: boot({ firmware: [off, on, end] }) },
      rules,
      answers: ['unknown'],
    },
    {
      name: 'secure-boot-after-separator',
      why: 'The firmware measured that Secure Boot is off; what it started extended PCR 7 with on.',
      boot: { truth: [...honest, on] },
      rules,
      answers: ['unmet'],
      notes: ['AFTER_SEPARATOR'],
    },
    {
      name: 'secure-boot-only-after-separator',
      why: 'The firmware measured no variable; what it started extended PCR 7 with on, and the log moves the separator by its type.',
      boot: {
        truth: [...silent, on],
        logged: [
          ...silent.map((event) => (event === end ? { ...event, type: EV.EFI_ACTION } : event)),
          on,
          { ...end, type: EV.NO_ACTION },
        ],
      },
      rules,
      answers: ['unknown'],
    },
  ]
}

function changedLogCases({ secure }: SampleRules): SampleCase[] {
  const rules = [secure]
  return [
    {
      name: 'secure-boot-data-changed',
      why: 'The log has the value 1 beside the digest of the value 0: it replays, and the digest says what was measured.',
      boot: {
        truth: honest,
        logged: honest.map((event) => (event === off ? { ...off, data: on.data, measured: off.data } : event)),
      },
      rules,
      answers: ['unmet'],
      notes: ['NOT_COVERED'],
    },
    {
      name: 'secure-boot-digest-changed',
      why: 'The log has the value 1 and its digest: it no longer replays to PCR 7.',
      boot: { truth: honest, logged: honest.map((event) => (event === off ? on : event)) },
      rules,
      answers: ['unknown'],
      firstMisfit: 2,
    },
    {
      name: 'secure-boot-added',
      why: 'An event was added in front of the true ones: it no longer replays to PCR 7.',
      boot: { truth: honest, logged: [honest[0], on, ...honest.slice(1)] },
      rules,
      answers: ['unknown'],
      firstMisfit: 2,
    },
  ]
}

function endCases({ secure }: SampleRules): SampleCase[] {
  const rules = [secure]
  return [
    {
      name: 'secure-boot-shim-unchecked',
      why: 'The firmware checks images and shim was told not to (MokSBState), so anything can be started.',
      boot: { truth: [...boot({}), unchecked] },
      rules,
      answers: ['unmet'],
    },
    {
      name: 'secure-boot-shim-hidden',
      why: 'As before, and the log has other data for that event.',
      boot: {
        truth: [...boot({}), unchecked],
        logged: [...boot({}), { ...unchecked, data: other, measured: unchecked.data }],
      },
      rules,
      answers: ['unmet'],
    },
    {
      name: 'secure-boot-unclear',
      why: 'PCR 7 has an event whose data the log does not show; shim may have said in it that it checks nothing.',
      boot: { truth: [...boot({}), { ...unchecked, data: other, measured: utf8('y') }] },
      rules,
      answers: ['unknown'],
    },
    {
      name: 'secure-boot-error-separator',
      why: 'The firmware met an error and ended PCR 7 with the digest of 1; the data of the event say which error.',
      boot: {
        truth: boot({ firmware: [on, { ...end, data: utf8('error 7'), measured: u32le(1) }] }),
      },
      rules,
      answers: ['unknown'],
    },
    {
      name: 'secure-boot-no-separator',
      why: 'PCR 7 has no separator, so nothing says what the firmware measured.',
      boot: { truth: boot({ firmware: [on] }) },
      rules,
      answers: ['unknown'],
    },
  ]
}
