/**
 * Logs made for one claim each, with the registers that a TPM would quote after the true boot: an honest one, and those of a host
 * that lies. `node tools/event-log-vectors.ts` writes them to vectors/event-log. Used by tests and by that tool alone.
 */

import { concat, hex, utf8 } from '../bytes/index.ts'
import { BANKS, startValue, type BankHash, type BankName } from './bank.ts'
import { EV } from './event-type.ts'
import { GUID } from './guid.ts'
import { u16le, u32le, utf16 } from './little-endian.ts'
import { extend } from './replay.ts'
import { encodeVariable } from './uefi.ts'

/** An event to be logged, and what is extended for it in truth. */
export interface SampleEvent {
  readonly pcr: number
  readonly type: number
  readonly data: Uint8Array
  /** What the digests are of; the data unless given. */
  readonly measured?: Uint8Array
  /** Logged digests instead of those of `measured`. */
  readonly digests?: Partial<Record<BankName, Uint8Array>>
  /** Banks that have no digest in the log. */
  readonly without?: readonly BankName[]
}

export interface SampleBoot {
  readonly banks?: readonly BankName[]
  /** What really happened, in order. */
  readonly truth: readonly SampleEvent[]
  /** What the log says; the truth unless given. */
  readonly logged?: readonly SampleEvent[]
  /** Locality of TPM2_Startup, in truth. */
  readonly locality?: number
}

export const SAMPLE_BANKS: readonly BankName[] = ['sha1', 'sha256']

function digest(hash: BankHash, bank: BankName, data: Uint8Array): Uint8Array {
  return hash(bank, data) ?? new Uint8Array()
}

export function sampleLog({ banks = SAMPLE_BANKS, truth, logged = truth }: SampleBoot, hash: BankHash): Uint8Array {
  return concat(sampleHeader(banks), ...logged.map((event) => encoded(event, banks, hash)))
}

export function sampleHeader(banks: readonly BankName[]): Uint8Array {
  const listed = banks.flatMap((bank) => {
    const { alg, lengthBytes } = bankOf(bank)
    return [u16le(alg), u16le(lengthBytes)]
  })
  const data = concat(
    utf8('Spec ID Event03\0'),
    u32le(0),
    Uint8Array.of(0, 2, 0, 2),
    u32le(banks.length),
    ...listed,
    Uint8Array.of(0),
  )
  return concat(u32le(0), u32le(EV.NO_ACTION), new Uint8Array(20), u32le(data.length), data)
}

function bankOf(bank: BankName): (typeof BANKS)[number] {
  return BANKS.find(({ name }) => name === bank) ?? BANKS[0]
}

function encoded(event: SampleEvent, banks: readonly BankName[], hash: BankHash): Uint8Array {
  const { pcr, type, data, measured = data, without = [] } = event
  const present = banks.filter((bank) => !without.includes(bank))
  const digests = present.flatMap((bank) => {
    const { alg, lengthBytes } = bankOf(bank)
    const own = type === EV.NO_ACTION ? new Uint8Array(lengthBytes) : digest(hash, bank, measured)
    return [u16le(alg), event.digests?.[bank] ?? own]
  })
  return concat(u32le(pcr), u32le(type), u32le(present.length), ...digests, u32le(data.length), data)
}

/** All 24 registers of every bank after the true boot, in hex. */
export function sampleQuote(
  { banks = SAMPLE_BANKS, truth, locality = 0 }: SampleBoot,
  hash: BankHash,
): Record<string, Record<string, string>> {
  const quoted: Record<string, Record<string, string>> = {}
  for (const bank of banks) {
    const values = Array.from({ length: 24 }, (_, pcr) => startValue(bank, pcr, locality))
    for (const { pcr, type, data, measured = data } of truth) {
      if (type !== EV.NO_ACTION) values[pcr] = extend({ bank, hash }, values[pcr], digest(hash, bank, measured))
    }
    quoted[bank] = Object.fromEntries(values.map((value, pcr) => [String(pcr), hex(value)]))
  }
  return quoted
}

export function secureBoot(state: number, pcr = 7): SampleEvent {
  const data = encodeVariable({ guid: GUID.GLOBAL_VARIABLE, name: 'SecureBoot', value: Uint8Array.of(state) })
  return { pcr, type: EV.EFI_VARIABLE_DRIVER_CONFIG, data }
}

export function separator(pcr: number): SampleEvent {
  return { pcr, type: EV.SEPARATOR, data: new Uint8Array(4) }
}

/** The digest is of the image, which the log does not hold; here of its name. */
export function application(image: string, path = image): SampleEvent {
  const node = utf16(`\\EFI\\${path}.efi\0`)
  const devicePath = concat(Uint8Array.of(4, 4), u16le(4 + node.length), node, Uint8Array.of(0x7f, 0xff, 4, 0))
  const data = concat(new Uint8Array(24), u32le(devicePath.length), u32le(0), devicePath)
  return { pcr: 4, type: EV.EFI_BOOT_SERVICES_APPLICATION, data, measured: utf8(image) }
}

export function grub(label: string, text: string): SampleEvent {
  return { pcr: 8, type: EV.IPL, data: utf8(`${label}${text}\0`), measured: utf8(text) }
}

export function grubFile(path: string, content: string): SampleEvent {
  return { pcr: 9, type: EV.IPL, data: utf8(`${path}\0`), measured: utf8(content) }
}

/** A section of a unified kernel image: its name, then what it holds. */
export function section(name: string, content: string): SampleEvent[] {
  const event = { pcr: 11, type: EV.IPL, data: utf16(`${name}\0`) }
  return [
    { ...event, measured: utf8(`${name}\0`) },
    { ...event, measured: utf8(content) },
  ]
}

export const COMMAND_LINE = 'root=/dev/sda2 ro lockdown=confidentiality'
const SEPARATORS = [0, 1, 2, 3, 4, 5, 6].map(separator)
const CALLING: SampleEvent = { pcr: 4, type: EV.EFI_ACTION, data: utf8('Calling EFI Application from Boot Option') }

/** A machine that boots shim, GRUB and Linux. Parts can be exchanged. */
export function boot(parts: {
  readonly firmware?: readonly SampleEvent[]
  readonly started?: readonly SampleEvent[]
  readonly grub?: readonly SampleEvent[]
  readonly files?: readonly SampleEvent[]
}): SampleEvent[] {
  const version = { pcr: 0, type: EV.S_CRTM_VERSION, data: utf16('Sample firmware 1\0') }
  return [
    version,
    ...(parts.firmware ?? [secureBoot(1), separator(7)]),
    CALLING,
    ...SEPARATORS,
    ...(parts.started ?? [application('shim'), application('grub'), application('vmlinuz')]),
    ...(parts.grub ?? grubBoot(COMMAND_LINE)),
    ...(parts.files ?? [grubFile('/grub/grub.cfg', 'config'), grubFile('/vmlinuz', 'kernel file')]),
  ]
}

export function grubBoot(options: string): SampleEvent[] {
  return [
    grub('grub_cmd: ', 'set timeout=0'),
    grub('grub_cmd: ', `linux /vmlinuz ${options}`),
    grub('kernel_cmdline: ', `/vmlinuz ${options}`),
  ]
}
