/**
 * What boot loaders measure as text: GRUB in PCR 8, systemd-boot in PCR 8 or 12, the stub of a unified kernel image in PCR 11
 * and 12. Format: spec/event-log.md §6.4, §6.6.
 *
 * Source: GRUB 2.06 `commands/tpm.c` and `lib/cmdline.c`; systemd 255 `src/boot/efi/measure.c` and `stub.c`.
 */

import { equal, fromUtf8, hex, utf8 } from '../bytes/index.ts'
import type { BankHash, BankName } from './bank.ts'
import { known, unknown, type Fact, type MeasuredEvent } from './fact.ts'
import { fromUtf16 } from './little-endian.ts'

export type CommandLine =
  | {
      readonly kind: 'text'
      readonly event: number
      /** What GRUB started; undefined where the text has no such part, as of systemd-boot and of the stub. */
      readonly image: string | undefined
      /** Without the image; as it was measured, with the quotes and backslashes that GRUB puts. */
      readonly options: string
    }
  /** The section .cmdline of a unified kernel image: the register has its digest, the log has not its text. */
  | { readonly kind: 'section'; readonly event: number; readonly digest: string }

/** A section of a unified kernel image that its stub measured. */
export interface Section {
  readonly name: string
  readonly event: number
  readonly digest: string
}

interface Bank {
  readonly bank: BankName
  readonly hash: BankHash
}

type Register = Fact<readonly MeasuredEvent[]>

/**
 * Commands that start Linux, and measure its command line. A file system that takes a path without a slash (an archive) lets such a
 * command line look like a command; the command that started it then looks like this.
 */
const LINUX_WITHOUT_PATH = /^linux(?:16|efi)? (?!"?[/(])/

/** Commands that start something else than Linux by itself; most versions measure no command line of theirs. */
const OTHER_LOADERS =
  /^(?:multiboot2?|module2?|xen_[a-z]+|kernel|legacy_kernel|k(?:free|net|open)bsd|xnu_[a-z0-9]+|plan9|ntldr|freedos|truecrypt|pxechainloader|appleloader)(?: |$)/

/**
 * Every command line that was measured. A label is not covered by its digest, so commands are told from command lines by the
 * text itself: GRUB begins a command line with the path of what it starts, and no command begins with `/` or `(`.
 */
export function commandLinesOf(
  { grub, stub, options }: { readonly grub: Register; readonly stub: Register; readonly options: Register },
  bank: Bank,
): Fact<readonly CommandLine[]> {
  if (!grub.known) return grub
  if (!stub.known) return stub
  if (!options.known) return options
  const lines: CommandLine[] = []
  for (const { event, pcr, bytes } of [...grub.value, ...options.value]) {
    const text = bytes === undefined ? undefined : bootTextOf(bytes)
    if (text === undefined) return unknown(`the log does not have the text that PCR ${pcr} was extended with`, [event])
    const why = text.wide ? undefined : whyUnclear(text.text)
    if (why !== undefined) return unknown(why, [event])
    const line = commandLineOf(event, text)
    if (line !== undefined) lines.push(line)
  }
  const sections = sectionsOf(stub, bank)
  if (!sections.known) return sections
  for (const { name, event, digest } of sections.value)
    if (name === '.cmdline') lines.push({ kind: 'section', event, digest })
  return known(lines, { pcrs: [8, 11, 12], events: lines.map(({ event }) => event).sort((a, b) => a - b) })
}

function whyUnclear(command: string): string | undefined {
  if (LINUX_WITHOUT_PATH.test(command)) return 'GRUB was told to start a kernel by something else than a path'
  return OTHER_LOADERS.test(command)
    ? 'GRUB was told to start something whose command line it may not have measured'
    : undefined
}

interface BootText {
  readonly wide: boolean
  readonly text: string
}

/** By the bytes alone. One zero at the end belongs to the text; another one, or no text, is nothing that is known. */
function bootTextOf(bytes: Uint8Array): BootText | undefined {
  const wide =
    bytes.length >= 2 && bytes.at(-1) === 0 && bytes.at(-2) === 0 ? fromUtf16(bytes)?.slice(0, -1) : undefined
  if (wide !== undefined) return wide.includes('\0') ? undefined : { wide: true, text: wide }
  try {
    const text = fromUtf8(bytes.at(-1) === 0 ? bytes.subarray(0, -1) : bytes)
    return text.includes('\0') ? undefined : { wide: false, text }
  } catch {
    return undefined
  }
}

function commandLineOf(event: number, { wide, text }: BootText): CommandLine | undefined {
  if (wide) return { kind: 'text', event, image: undefined, options: text }
  // GRUB puts a path with a space between quotes, and a backslash before a quote in it.
  const image = /^(?:[/(][^ ]*|"[/(](?:\\.|[^"\\])*")(?= |$)/s.exec(text)?.[0]
  if (image !== undefined) return { kind: 'text', event, image, options: text.slice(image.length + 1) }
  return /^"?[/(]/.test(text) ? { kind: 'text', event, image, options: text } : undefined
}

const SECTIONS = [
  '.linux',
  '.osrel',
  '.cmdline',
  '.initrd',
  '.ucode',
  '.splash',
  '.dtb',
  '.uname',
  '.sbat',
  '.pcrpkey',
  '.profile',
  '.dtbauto',
  '.hwids',
  '.efifw',
]

/** The stub measures the name of a section in ASCII with its zero byte, then what the section holds. */
export function sectionsOf(register: Register, { bank, hash }: Bank): Fact<readonly Section[]> {
  if (!register.known) return register
  const names = SECTIONS.map((name) => ({ name, digest: hash(bank, utf8(`${name}\0`)) }))
  const sections: Section[] = []
  for (let i = 0; i < register.value.length; i += 2) {
    const [title, body] = [register.value[i], register.value.at(i + 1)]
    const name = names.find(({ digest }) => digest !== undefined && equal(digest, title.digest))?.name
    if (name === undefined) return unknown('PCR 11 has an event that is no name of a section', [title.event])
    if (body === undefined) return unknown(`PCR 11 ends with the name of the section ${name}`, [title.event])
    sections.push({ name, event: body.event, digest: hex(body.digest) })
  }
  return known(sections, { pcrs: [11], events: sections.map(({ event }) => event) })
}
