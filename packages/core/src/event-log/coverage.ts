/**
 * Which bytes of an event its digest stands for. A log's data are worth what its digest covers: anybody can write the rest.
 * Format: spec/event-log.md §5.
 */

import { equal, utf8 } from '../bytes/index.ts'
import type { BankHash, BankName } from './bank.ts'
import { EV } from './event-type.ts'
import { fromUtf16, utf16 } from './little-endian.ts'
import type { LogEvent } from './log.ts'
import { errorSeparator } from './separator.ts'

export type CoverageRule =
  | 'whole' // all of the data
  | 'variable-data' // the value of a UEFI variable, not its name
  | 'text' // a text without the label before it, without or with its zero byte
  | 'utf-16' // a text of UTF-16 with its zero
  | 'section-name' // the name of a section in ASCII with its zero byte; the data have it in UTF-16
  | 'error-separator' // the number 1; the data say which error

export interface Coverage {
  readonly rule: CoverageRule
  /** What was hashed: the only bytes of the event that its digest shows. */
  readonly bytes: Uint8Array
}

/** What GRUB writes before a text that it measures. The digest does not cover it. */
export const GRUB_LABELS = [
  'grub_cmd: ',
  'kernel_cmdline: ',
  'module_cmdline: ',
  'grub_cmd ',
  'grub_kernel_cmdline ',
] as const

/** Undefined where the digest does not recompute from the data by any rule of the event's type. */
export function coverageOf(
  event: LogEvent,
  digested: { readonly bank: BankName; readonly digest: Uint8Array; readonly hash: BankHash },
): Coverage | undefined {
  const { type, data } = event
  if (type === EV.NO_ACTION) return undefined
  const covers = (bytes: Uint8Array): boolean => {
    const digest = digested.hash(digested.bank, bytes)
    return digest !== undefined && equal(digest, digested.digest)
  }
  if (covers(data)) return { rule: 'whole', bytes: data }
  if (type === EV.SEPARATOR && equal(digested.digest, errorSeparator(digested)))
    return { rule: 'error-separator', bytes: Uint8Array.of(1, 0, 0, 0) }
  return candidates(event).find(({ bytes }) => covers(bytes))
}

function candidates({ type, data }: LogEvent): Coverage[] {
  if (type === EV.EFI_VARIABLE_BOOT) {
    const value = variableValue(data)
    return value === undefined ? [] : [{ rule: 'variable-data', bytes: value }]
  }
  return type === EV.IPL ? [...grubTexts(data), ...wideTexts(data)] : []
}

/** Firmware before version 1.05 of the profile measures the value alone. */
function variableValue(data: Uint8Array): Uint8Array | undefined {
  if (data.length < 32) return undefined
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  const start = 32n + 2n * view.getBigUint64(16, true)
  const end = start + view.getBigUint64(24, true)
  return end <= BigInt(data.length) ? data.subarray(Number(start), Number(end)) : undefined
}

function grubTexts(data: Uint8Array): Coverage[] {
  const label = GRUB_LABELS.find((each) => utf8(each).every((byte, i) => data[i] === byte)) ?? ''
  const end = data.at(-1) === 0 ? data.length - 1 : data.length
  const start = label.length
  if (start > end) return []
  return [
    { rule: 'text', bytes: data.subarray(start, end) },
    { rule: 'text', bytes: data.subarray(start) },
  ]
}

/** systemd-boot and its stub. Some versions leave out the last byte of the zero in the data, though not in the digest. */
function wideTexts(data: Uint8Array): Coverage[] {
  const even = new Uint8Array(data.length + (data.length % 2))
  even.set(data)
  const text = fromUtf16(even)?.replace(/\0+$/, '')
  if (text === undefined || text.includes('\0')) return []
  return [
    { rule: 'utf-16', bytes: utf16(`${text}\0`) },
    { rule: 'section-name', bytes: utf8(`${text}\0`) },
  ]
}
