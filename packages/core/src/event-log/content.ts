/** What an event says, and how much of it its digest shows. Format: spec/event-log.md §5. */

import type { BankHash, BankName } from './bank.ts'
import { coverageOf, GRUB_LABELS, type Coverage } from './coverage.ts'
import { EV } from './event-type.ts'
import { GUID } from './guid.ts'
import { fromUtf16 } from './little-endian.ts'
import { digestOf, type LogEvent } from './log.ts'
import { algOf } from './replay.ts'
import {
  decodeBootOrder,
  decodeFirmwareBlob,
  decodeGpt,
  decodeHandoffTables,
  decodeLoadedImage,
  decodeLoadOption,
  decodeSignatureLists,
  decodeTaggedEvent,
  decodeVariable,
  type FirmwareBlob,
  type Gpt,
  type HandoffTable,
  type LoadedImage,
  type LoadOption,
  type Signature,
  type TaggedEvent,
  type UefiVariable,
} from './uefi.ts'

export type VariableMeaning =
  | { readonly kind: 'flag'; readonly set: boolean }
  | { readonly kind: 'signatures'; readonly signatures: readonly Signature[] }
  | { readonly kind: 'boot-order'; readonly order: readonly number[] }
  | { readonly kind: 'load-option'; readonly option: LoadOption }
  | { readonly kind: 'other' }

export type EventContent =
  | { readonly kind: 'variable'; readonly variable: UefiVariable; readonly meaning: VariableMeaning }
  | { readonly kind: 'separator'; readonly error: boolean }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'boot-text'; readonly label: string; readonly text: string }
  | { readonly kind: 'image'; readonly image: LoadedImage }
  | { readonly kind: 'gpt'; readonly gpt: Gpt }
  | { readonly kind: 'handoff-tables'; readonly tables: readonly HandoffTable[] }
  | { readonly kind: 'tagged'; readonly tagged: TaggedEvent }
  | { readonly kind: 'firmware-blob'; readonly blob: FirmwareBlob }
  | { readonly kind: 'bytes' }

/**
 * How much of a content the digest shows. `value` is of a variable whose name and GUID are the log's word, or a boot text whose
 * label is; the rest is shown. `none` is a claim and no more.
 */
export type Proven = 'all' | 'value' | 'none'

export interface DescribedEvent {
  readonly coverage: Coverage | undefined
  readonly proven: Proven
  readonly content: EventContent
}

/** Describes an event by its digest in one bank; without such a digest nothing is proven. */
export function describeEvent(
  event: LogEvent,
  { bank, hash }: { readonly bank: BankName; readonly hash: BankHash },
): DescribedEvent {
  const digest = digestOf(event, algOf(bank))
  const coverage = digest === undefined ? undefined : coverageOf(event, { bank, digest, hash })
  return { coverage, proven: provenBy(event, coverage), content: contentOf(event, coverage) }
}

function provenBy({ type }: LogEvent, coverage: Coverage | undefined): Proven {
  if (coverage === undefined) return 'none'
  if (coverage.rule === 'variable-data') return 'value'
  return type === EV.IPL ? 'value' : 'all'
}

function contentOf({ type, data }: LogEvent, coverage: Coverage | undefined): EventContent {
  switch (type) {
    case EV.EFI_VARIABLE_DRIVER_CONFIG:
    case EV.EFI_VARIABLE_AUTHORITY:
    case EV.EFI_VARIABLE_BOOT:
    case EV.EFI_VARIABLE_BOOT2:
      return orBytes(decodeVariable(data), (variable) => ({
        kind: 'variable',
        variable,
        meaning: type === EV.EFI_VARIABLE_AUTHORITY ? authorityMeaning(variable) : variableMeaning(variable),
      }))
    case EV.SEPARATOR:
      return { kind: 'separator', error: coverage?.rule === 'error-separator' }
    case EV.IPL:
      return bootText(data, coverage)
    case EV.EFI_BOOT_SERVICES_APPLICATION:
    case EV.EFI_BOOT_SERVICES_DRIVER:
    case EV.EFI_RUNTIME_SERVICES_DRIVER:
      return orBytes(decodeLoadedImage(data), (image) => ({ kind: 'image', image }))
    case EV.EFI_GPT_EVENT:
    case EV.EFI_GPT_EVENT2:
      return orBytes(decodeGpt(data), (gpt) => ({ kind: 'gpt', gpt }))
    case EV.EFI_HANDOFF_TABLES:
    case EV.EFI_HANDOFF_TABLES2:
      return orBytes(decodeHandoffTables(data, type === EV.EFI_HANDOFF_TABLES2), (tables) => ({
        kind: 'handoff-tables',
        tables,
      }))
    case EV.EVENT_TAG:
      return orBytes(decodeTaggedEvent(data), (tagged) => ({ kind: 'tagged', tagged }))
    case EV.EFI_PLATFORM_FIRMWARE_BLOB:
      return orBytes(decodeFirmwareBlob(data), (blob) => ({ kind: 'firmware-blob', blob }))
    case EV.POST_CODE:
      return orBytes(
        decodeFirmwareBlob(data),
        (blob) => ({ kind: 'firmware-blob', blob }),
        () => text(data),
      )
    case EV.EFI_ACTION:
    case EV.ACTION:
    case EV.S_CRTM_VERSION:
    case EV.S_CRTM_CONTENTS:
      return text(data)
    default:
      return { kind: 'bytes' }
  }
}

function orBytes<T>(
  value: T | undefined,
  content: (value: T) => EventContent,
  otherwise = (): EventContent => ({ kind: 'bytes' }),
): EventContent {
  return value === undefined ? otherwise() : content(value)
}

const FLAGS = ['SecureBoot', 'SetupMode', 'AuditMode', 'DeployedMode']
const SIGNATURES = ['PK', 'KEK', 'db', 'dbx', 'dbt', 'dbr']

function variableMeaning({ guid, name, value }: UefiVariable): VariableMeaning {
  if (guid === GUID.GLOBAL_VARIABLE) {
    if (FLAGS.includes(name)) return flag(value)
    if (name === 'BootOrder') return orOther(decodeBootOrder(value), (order) => ({ kind: 'boot-order', order }))
    if (/^Boot[0-9A-F]{4}$/.test(name))
      return orOther(decodeLoadOption(value), (option) => ({ kind: 'load-option', option }))
  }
  if ((guid === GUID.GLOBAL_VARIABLE || guid === GUID.IMAGE_SECURITY_DATABASE) && SIGNATURES.includes(name))
    return orOther(decodeSignatureLists(value), (signatures) => ({ kind: 'signatures', signatures }))
  return { kind: 'other' }
}

/** The value is one EFI_SIGNATURE_DATA, the entry that vouched for an image; shim measures its own state like this too. */
function authorityMeaning({ guid, name, value }: UefiVariable): VariableMeaning {
  return guid === GUID.SHIM_LOCK && name === 'MokSBState' ? flag(value) : { kind: 'other' }
}

function flag(value: Uint8Array): VariableMeaning {
  return value.length === 1 && value[0] <= 1 ? { kind: 'flag', set: value[0] === 1 } : { kind: 'other' }
}

function orOther<T>(value: T | undefined, meaning: (value: T) => VariableMeaning): VariableMeaning {
  return value === undefined ? { kind: 'other' } : meaning(value)
}

/** Of a text that is covered, exactly what is covered. */
function bootText(data: Uint8Array, coverage: Coverage | undefined): EventContent {
  const wide = coverage?.rule === 'utf-16' ? fromUtf16(coverage.bytes)?.slice(0, -1) : undefined
  if (wide !== undefined) return { kind: 'boot-text', label: '', text: wide }
  const content = asciiText(coverage?.rule === 'section-name' ? coverage.bytes : data) ?? wideText(data)
  if (content === undefined) return { kind: 'bytes' }
  const label = GRUB_LABELS.find((each) => content.startsWith(each)) ?? ''
  return { kind: 'boot-text', label: label.trimEnd(), text: content.slice(label.length) }
}

function text(data: Uint8Array): EventContent {
  const content = asciiText(data) ?? wideText(data)
  return content === undefined ? { kind: 'bytes' } : { kind: 'text', text: content }
}

/** Printable ASCII with tabs and line ends, and perhaps one zero byte at the end. */
function asciiText(data: Uint8Array): string | undefined {
  const end = data.at(-1) === 0 ? data.length - 1 : data.length
  const bytes = data.subarray(0, end)
  const isText = bytes.every((byte) => (byte >= 0x20 && byte < 0x7f) || byte === 0x09 || byte === 0x0a || byte === 0x0d)
  return isText && end > 0 ? Array.from(bytes, (byte) => String.fromCharCode(byte)).join('') : undefined
}

function wideText(data: Uint8Array): string | undefined {
  const content = fromUtf16(data)?.replace(/\0+$/, '')
  return content !== undefined && content !== '' && /^[\t\n\r\u0020-\u007e\u00a0-\ufffd]+$/.test(content)
    ? content
    : undefined
}
