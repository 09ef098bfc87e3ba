/** Cases of vectors/event-log: what was a kernel started with? */

import { EV } from './event-type.ts'
import { utf16 } from './little-endian.ts'
import type { SampleCase, SampleRules } from './sample-case.ts'
import { application, boot, COMMAND_LINE, grub, grubBoot, section } from './sample-logs.ts'

export function commandLineCases(rules: SampleRules): SampleCase[] {
  return [...grubCases(rules), ...boundCases(rules)]
}

const evil = grubBoot('root=/dev/sda2 init=/evil')
const relabelled = [
  grub('grub_cmd: ', 'set timeout=0'),
  grub('grub_cmd: ', 'linux /vmlinuz root=/dev/sda2 init=/evil'),
  grub('grub_cmd: ', '/vmlinuz root=/dev/sda2 init=/evil'),
  grub('kernel_cmdline: ', `/vmlinuz ${COMMAND_LINE}`),
]

function grubCases({ loaders, kernel, line }: SampleRules): SampleCase[] {
  const rules = [loaders, kernel, line]
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
          grub: evil.map(({ data, measured = data }) => ({
            ...grub('kernel_cmdline: ', `/vmlinuz ${COMMAND_LINE}`),
            measured,
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
  ]
}

function boundCases({ loaders, kernel, line, listing }: SampleRules): SampleCase[] {
  const rules = [loaders, kernel, line]
  const unified = boot({
    started: [application('unified')],
    grub: [...section('.linux', 'kernel'), ...section('.cmdline', COMMAND_LINE)],
    files: [],
  })
  const unifiedRules = [listing('bootLoader'), listing('kernel', 'unified')]
  return [
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
