/** The cases of vectors/event-log that are made here: each one claim, with the attack that it stands for. */

import { hex, utf8 } from '../bytes/index.ts'
import { startValue, type BankHash } from './bank.ts'
import { EV } from './event-type.ts'
import { extend } from './replay.ts'
import type { SampleCase, SampleRules } from './sample-case.ts'
import { commandLineCases } from './sample-command-line.ts'
import { application, boot, COMMAND_LINE, grubFile, type SampleEvent } from './sample-logs.ts'
import { secureBootCases } from './sample-secure-boot.ts'

export function sampleCases(hash: BankHash): readonly SampleCase[] {
  const listing: SampleRules['listing'] = (kind, ...images) => ({
    kind,
    digests: images.map((image) => `sha256:${hex(hash('sha256', utf8(image)) ?? new Uint8Array())}` as const),
  })
  const rules: SampleRules = {
    listing,
    secure: { kind: 'secureBoot', state: 'on' },
    loaders: listing('bootLoader', 'shim', 'grub'),
    kernel: listing('kernel', 'vmlinuz'),
    line: { kind: 'commandLine', compare: { kind: 'exact', text: COMMAND_LINE } },
    files: listing('files', 'config', 'kernel file'),
  }
  return [...secureBootCases(rules), ...startedCases(rules), ...commandLineCases(rules), ...logCases(rules, hash)]
}

function startedCases({ loaders, kernel, files, listing }: SampleRules): SampleCase[] {
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

function logCases({ secure, loaders, kernel, line, files }: SampleRules, hash: BankHash): SampleCase[] {
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
