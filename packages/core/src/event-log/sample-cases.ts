/** The cases of vectors/event-log that are made here: each one claim, with the attack that it stands for. */

import { hex, utf8 } from '../bytes/index.ts'
import { startValue, type BankHash } from './bank.ts'
import { EV } from './event-type.ts'
import { GUID } from './guid.ts'
import { u32le, utf16 } from './little-endian.ts'
import { extend } from './replay.ts'
import type { EventLogRule, RuleAnswer } from './rules.ts'
import {
  application,
  boot,
  COMMAND_LINE,
  grub,
  grubBoot,
  grubFile,
  type SampleBoot,
  type SampleEvent,
  section,
  secureBoot,
  separator,
  variableData,
} from './sample-logs.ts'

export interface SampleCase {
  readonly name: string
  /** What the case shows, for its README. */
  readonly why: string
  readonly boot: SampleBoot
  readonly rules: readonly EventLogRule[]
  readonly answers: readonly RuleAnswer['answer'][]
  /** Codes of notes on facts. */
  readonly notes?: readonly string[]
  readonly firstMisfit?: number
  /** Quoted registers that are not those of the boot, by bank and register. */
  readonly quoted?: Readonly<Record<string, Readonly<Record<string, string>>>>
}

interface Rules {
  readonly secure: EventLogRule
  readonly loaders: EventLogRule
  readonly kernel: EventLogRule
  readonly line: EventLogRule
  readonly files: EventLogRule
  /** A rule by the names of what it lists. */
  readonly listing: (kind: 'bootLoader' | 'kernel' | 'files', ...images: readonly string[]) => EventLogRule
}

export function sampleCases(hash: BankHash): readonly SampleCase[] {
  const listing: Rules['listing'] = (kind, ...images) => ({
    kind,
    digests: images.map((image) => `sha256:${hex(hash('sha256', utf8(image)) ?? new Uint8Array())}` as const),
  })
  const rules: Rules = {
    listing,
    secure: { kind: 'secureBoot', state: 'on' },
    loaders: listing('bootLoader', 'shim', 'grub'),
    kernel: listing('kernel', 'vmlinuz'),
    line: { kind: 'commandLine', compare: { kind: 'exact', text: COMMAND_LINE } },
    files: listing('files', 'config', 'kernel file'),
  }
  return [...secureBootCases(rules), ...startedCases(rules), ...textCases(rules), ...logCases(rules, hash)]
}

const on = secureBoot(1)
const off = secureBoot(0)
const end = separator(7)

function secureBootCases({ secure }: Rules): SampleCase[] {
  const rules = [secure]
  const honest = boot({ firmware: [off, end] })
  const silent = boot({ firmware: [end] })
  const withAdded = (event: SampleEvent): SampleEvent[] => [honest[0], event, ...honest.slice(1)]
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
    {
      name: 'secure-boot-data-changed',
      why: 'The log has the value 1 beside the digest of the value 0: it replays.',
      boot: {
        truth: honest,
        logged: honest.map((event) => (event === off ? { ...off, data: on.data, measured: off.data } : event)),
      },
      rules,
      answers: ['unknown'],
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
      boot: { truth: honest, logged: withAdded(on) },
      rules,
      answers: ['unknown'],
      firstMisfit: 2,
    },
    {
      name: 'secure-boot-shim-unchecked',
      why: 'The firmware checks images and shim was told not to (MokSBState), so anything can be started.',
      boot: {
        truth: [
          ...boot({}),
          {
            pcr: 7,
            type: EV.EFI_VARIABLE_AUTHORITY,
            data: variableData(GUID.SHIM_LOCK, 'MokSBState', Uint8Array.of(1)),
          },
        ],
      },
      rules,
      answers: ['unmet'],
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

function startedCases({ loaders, kernel, files, listing }: Rules): SampleCase[] {
  const evil = boot({ started: [application('shim'), application('evil'), application('vmlinuz')] })
  const evilEvent = evil.find(({ measured }) => measured !== undefined && hex(measured) === hex(utf8('evil')))
  return [
    {
      name: 'started-something-else',
      why: 'Between shim and the kernel something was started that no list has.',
      boot: { truth: evil },
      rules: [loaders, kernel],
      answers: ['unmet', 'met'],
    },
    {
      name: 'started-relabelled',
      why: 'The log calls it a text that was measured, with the path of GRUB nowhere: it counts by its place in PCR 4.',
      boot: {
        truth: evil,
        logged: evil.map((event) =>
          event === evilEvent
            ? { ...event, type: EV.EFI_ACTION, data: utf8('Calling EFI Application from Boot Option') }
            : event,
        ),
      },
      rules: [loaders, kernel],
      answers: ['unmet', 'met'],
    },
    {
      name: 'started-left-out',
      why: 'The log leaves it out: it no longer replays to PCR 4.',
      boot: { truth: evil, logged: evil.filter((event) => event !== evilEvent) },
      rules: [loaders, kernel],
      answers: ['unknown', 'unknown'],
      firstMisfit: 4,
    },
    {
      name: 'kernel-exchanged',
      why: 'Another kernel was started; the device path in the log, which no digest covers, still names the listed one.',
      boot: { truth: boot({ started: [application('shim'), application('grub'), application('evil', 'vmlinuz')] }) },
      rules: [loaders, kernel],
      answers: ['unmet', 'unmet'],
    },
    {
      name: 'kernel-only-read',
      why: 'GRUB alone, as without Secure Boot: the kernel is one of the files that it read, and nothing shows that it was started.',
      boot: { truth: boot({ started: [application('shim'), application('grub')] }) },
      rules: [loaders, listing('kernel', 'kernel file'), files],
      answers: ['met', 'unknown', 'met'],
    },
    {
      name: 'files-one-more',
      why: 'GRUB read a file that no list has; the log gives it the name of a listed one.',
      boot: { truth: boot({ files: [grubFile('/grub/grub.cfg', 'config'), grubFile('/vmlinuz', 'evil file')] }) },
      rules: [loaders, kernel, files],
      answers: ['met', 'met', 'unmet'],
    },
  ]
}

function textCases({ loaders, kernel, line, listing }: Rules): SampleCase[] {
  const rules = [loaders, kernel, line]
  const evil = grubBoot('root=/dev/sda2 init=/evil')
  const relabelled = [
    grub('grub_cmd: ', 'set timeout=0'),
    grub('grub_cmd: ', 'linux /vmlinuz root=/dev/sda2 init=/evil'),
    grub('grub_cmd: ', '/vmlinuz root=/dev/sda2 init=/evil'),
    grub('kernel_cmdline: ', `/vmlinuz ${COMMAND_LINE}`),
  ]
  const unified = boot({
    started: [application('unified')],
    grub: [...section('.linux', 'kernel'), ...section('.cmdline', COMMAND_LINE)],
    files: [],
  })
  const unifiedRules = [listing('bootLoader'), listing('kernel', 'unified')]
  return [
    {
      name: 'command-line-other',
      why: 'The kernel was started with another command line.',
      boot: { truth: boot({ grub: evil }) },
      rules,
      answers: ['met', 'met', 'unmet'],
    },
    {
      name: 'command-line-relabelled',
      why: 'A command that fails was measured too, with the wanted text; the log swaps the labels, which no digest covers.',
      boot: { truth: boot({ grub: relabelled }) },
      rules,
      answers: ['met', 'met', 'unmet'],
    },
    {
      name: 'command-line-hidden',
      why: 'The log has another text than the one whose digest stands there: it replays.',
      boot: {
        truth: boot({ grub: evil }),
        logged: boot({
          grub: evil.map((event) => ({
            ...grub('kernel_cmdline: ', `/vmlinuz ${COMMAND_LINE}`),
            measured: event.measured,
          })),
        }),
      },
      rules,
      answers: ['met', 'met', 'unknown'],
      notes: ['NOT_COVERED', 'NOT_COVERED', 'NOT_COVERED'],
    },
    {
      name: 'command-line-like-a-command',
      why: 'A kernel out of an archive has a path without a slash, so that its command line looks like a command.',
      boot: {
        truth: boot({
          grub: [
            grub('grub_cmd: ', 'linux echo init=/evil'),
            grub('kernel_cmdline: ', 'echo init=/evil'),
            grub('kernel_cmdline: ', `/vmlinuz ${COMMAND_LINE}`),
          ],
        }),
      },
      rules,
      answers: ['met', 'met', 'unknown'],
    },
    {
      name: 'command-line-of-multiboot',
      why: 'GRUB measures no command line of what it starts by multiboot2; a command that fails put the wanted text there.',
      boot: {
        truth: boot({
          grub: [grub('grub_cmd: ', 'multiboot2 /evil'), grub('kernel_cmdline: ', `/vmlinuz ${COMMAND_LINE}`)],
        }),
      },
      rules,
      answers: ['met', 'met', 'unknown'],
    },
    {
      name: 'command-line-path-in-quotes',
      why: 'A path with a space stands in quotes, so that its command line begins with one.',
      boot: {
        truth: boot({
          grub: [
            grub('grub_cmd: ', 'linux /a b init=/evil'),
            grub('kernel_cmdline: ', '"/a b" init=/evil'),
            grub('kernel_cmdline: ', `/vmlinuz ${COMMAND_LINE}`),
          ],
        }),
      },
      rules,
      answers: ['met', 'met', 'unmet'],
    },
    {
      name: 'command-line-without-loader-rule',
      why: 'Whatever was started can extend PCR 8 with the wanted text, and here nothing says what was started.',
      boot: { truth: boot({}) },
      rules: [kernel, line],
      answers: ['met', 'unknown'],
    },
    {
      name: 'command-line-under-other-loader',
      why: 'Something else was started, and extended PCR 8 with the wanted text.',
      boot: { truth: boot({ started: [application('evil')] }) },
      rules,
      answers: ['unmet', 'unmet', 'unknown'],
    },
    {
      name: 'command-line-unified-image',
      why: 'The stub of a unified kernel image measures the section .cmdline: an exact text has its digest.',
      boot: { truth: unified },
      rules: [...unifiedRules, line],
      answers: ['met', 'met', 'met'],
    },
    {
      name: 'command-line-overridden',
      why: 'The stub was given another command line than the one in its image, and measured it in PCR 12.',
      boot: { truth: [...unified, { pcr: 12, type: EV.IPL, data: utf16('init=/evil\0') }] },
      rules: [...unifiedRules, line],
      answers: ['met', 'met', 'unmet'],
    },
  ]
}

function logCases({ secure, loaders, kernel, line, files }: Rules, hash: BankHash): SampleCase[] {
  const rules = [secure, loaders, kernel, line, files]
  const met = ['met', 'met', 'met', 'met', 'met'] as const
  const unknown = ['unknown', 'unknown', 'unknown', 'unknown', 'unknown'] as const
  const honest = boot({})
  const later: SampleEvent = { pcr: 7, type: EV.EFI_ACTION, data: utf8('later') }
  const bank = { bank: 'sha1', hash } as const
  const capped = hex(extend(bank, startValue('sha1', 4), hash('sha1', new Uint8Array(4)) ?? new Uint8Array()))
  const locality = { pcr: 0, type: EV.NO_ACTION, data: utf8('StartupLocality\0\x03') }
  return [
    {
      name: 'honest',
      why: 'A machine that boots shim, GRUB and Linux; the log is true.',
      boot: { truth: honest },
      rules,
      answers: met,
    },
    {
      name: 'longer-than-quoted',
      why: 'The log has an event in PCR 7 that happened after the quote, or never: the quoted value is that before it.',
      boot: { truth: honest, logged: [...honest, later] },
      rules: [secure, loaders, kernel],
      answers: ['unknown', 'met', 'met'],
      firstMisfit: honest.length + 1,
    },
    {
      name: 'sha1-capped',
      why: 'The firmware measures into SHA-256 alone and capped the SHA-1 register with a separator; the log has digests for both.',
      boot: { truth: honest },
      rules,
      answers: met,
      quoted: { sha1: { 4: capped } },
      firstMisfit: 4,
    },
    {
      name: 'sha1-missing',
      why: 'No event has a digest for the SHA-1 bank that the log lists.',
      boot: { truth: honest, logged: honest.map((event) => ({ ...event, without: ['sha1' as const] })) },
      rules,
      answers: met,
      quoted: { sha1: Object.fromEntries(Array.from({ length: 17 }, (_, pcr) => [String(pcr), '00'.repeat(20)])) },
    },
    {
      name: 'sha1-only',
      why: 'Only SHA-1 was quoted and logged. Texts that collide can be made, so no fact rests on it.',
      boot: { banks: ['sha1'], truth: honest },
      rules,
      answers: unknown,
    },
    {
      name: 'locality-3',
      why: 'TPM2_Startup came from locality 3 and the log says so.',
      boot: { truth: [locality, ...honest], locality: 3 },
      rules,
      answers: met,
    },
    {
      name: 'locality-late',
      why: 'The log says after the first extension of PCR 0 that it started at 3: it did not.',
      boot: { truth: honest, logged: [...honest, locality] },
      rules,
      answers: met,
    },
  ]
}
