/**
 * Structures of UEFI in event data. Each decoder answers undefined for bytes that are not exactly its structure: what a
 * firmware writes into its log is no reason to refuse the log.
 *
 * Source: TCG PC Client Platform Firmware Profile 1.06 §10.2.3 to §10.2.6; UEFI 2.10 §3.1.3, §32.4.1.
 */

import { concat, TruncatedError } from '../bytes/index.ts'
import { devicePathText } from './device-path.ts'
import { GUID_BYTES, guidBytes, guidText } from './guid.ts'
import { fromUtf16, LittleEndianReader, u32le, utf16 } from './little-endian.ts'

export const VARIABLE_NAME_CHARS_MAX = 512
export const SIGNATURES_MAX = 65_536
export const HANDOFF_TABLES_MAX = 1024
export const PARTITIONS_MAX = 1024

/** Runs a decoder over all of `bytes`. */
export function exactly<T>(bytes: Uint8Array, decode: (reader: LittleEndianReader) => T | undefined): T | undefined {
  const reader = new LittleEndianReader(bytes)
  try {
    const value = decode(reader)
    return reader.remainingBytes === 0 ? value : undefined
  } catch (error) {
    if (error instanceof TruncatedError) return undefined
    throw error
  }
}

/** A length or a count of 64 bits; undefined above the limit, so that nothing large is tried. */
function bounded(value: bigint, max: number): number | undefined {
  return value <= BigInt(max) ? Number(value) : undefined
}

export interface UefiVariable {
  readonly guid: string
  readonly name: string
  readonly value: Uint8Array
}

/** UEFI_VARIABLE_DATA */
export function decodeVariable(bytes: Uint8Array): UefiVariable | undefined {
  return exactly(bytes, (reader) => {
    const guid = guidText(reader.raw(GUID_BYTES))
    const nameChars = bounded(reader.u64(), VARIABLE_NAME_CHARS_MAX)
    const valueBytes = bounded(reader.u64(), bytes.length)
    if (nameChars === undefined || valueBytes === undefined) return undefined
    const name = fromUtf16(reader.raw(2 * nameChars))
    const value = reader.raw(valueBytes)
    return name === undefined ? undefined : { guid, name, value }
  })
}

export function encodeVariable({ guid, name, value }: UefiVariable): Uint8Array {
  const lengths = [name.length, 0, value.length, 0].map(u32le)
  return concat(guidBytes(guid), ...lengths, utf16(name), value)
}

export interface Signature {
  /** Of the list, such as X.509 or SHA-256. */
  readonly type: string
  readonly owner: string
  readonly data: Uint8Array
}

/** EFI_SIGNATURE_LISTs, the value of PK, KEK, db and dbx. */
export function decodeSignatureLists(bytes: Uint8Array): readonly Signature[] | undefined {
  return exactly(bytes, (reader) => {
    const signatures: Signature[] = []
    while (reader.remainingBytes > 0) {
      const type = guidText(reader.raw(GUID_BYTES))
      const [listBytes, headerBytes, signatureBytes] = [reader.u32(), reader.u32(), reader.u32()]
      const bodyBytes = listBytes - GUID_BYTES - 12 - headerBytes
      if (signatureBytes <= GUID_BYTES || bodyBytes < 0 || bodyBytes % signatureBytes !== 0) return undefined
      reader.raw(headerBytes)
      for (let left = bodyBytes; left > 0; left -= signatureBytes) {
        if (signatures.length === SIGNATURES_MAX) return undefined
        signatures.push({
          type,
          owner: guidText(reader.raw(GUID_BYTES)),
          data: reader.raw(signatureBytes - GUID_BYTES),
        })
      }
    }
    return signatures
  })
}

export interface LoadOption {
  readonly attributes: number
  readonly description: string
  /** Undefined for a device path that is not well-formed. */
  readonly path: string | undefined
  readonly optionalData: Uint8Array
}

/** EFI_LOAD_OPTION, the value of Boot####. */
export function decodeLoadOption(bytes: Uint8Array): LoadOption | undefined {
  return exactly(bytes, (reader) => {
    const [attributes, pathBytes] = [reader.u32(), reader.u16()]
    const units: number[] = []
    for (let unit = reader.u16(); unit !== 0; unit = reader.u16()) units.push(unit)
    const path = devicePathText(reader.raw(pathBytes))
    const description = units.map((unit) => String.fromCharCode(unit)).join('')
    return { attributes, description, path, optionalData: reader.raw(reader.remainingBytes) }
  })
}

/** The value of BootOrder. */
export function decodeBootOrder(bytes: Uint8Array): readonly number[] | undefined {
  return exactly(bytes, (reader) => Array.from({ length: bytes.length >> 1 }, () => reader.u16()))
}

export interface LoadedImage {
  readonly addressInMemory: bigint
  readonly lengthBytes: bigint
  readonly linkTimeAddress: bigint
  /** Empty where the image came from memory. */
  readonly path: string | undefined
}

/** UEFI_IMAGE_LOAD_EVENT. Never covered by the digest, which is the Authenticode digest of the image. */
export function decodeLoadedImage(bytes: Uint8Array): LoadedImage | undefined {
  return exactly(bytes, (reader) => {
    const [addressInMemory, lengthBytes, linkTimeAddress] = [reader.u64(), reader.u64(), reader.u64()]
    const pathBytes = bounded(reader.u64(), bytes.length)
    if (pathBytes === undefined) return undefined
    const path = pathBytes === 0 ? '' : devicePathText(reader.raw(pathBytes))
    return { addressInMemory, lengthBytes, linkTimeAddress, path }
  })
}

export interface Partition {
  readonly type: string
  readonly unique: string
  readonly firstLba: bigint
  readonly lastLba: bigint
  readonly name: string | undefined
}

export interface Gpt {
  readonly disk: string
  readonly partitions: readonly Partition[]
}

const GPT_HEADER_BYTES = 92
const GPT_ENTRY_BYTES = 128

/** UEFI_GPT_DATA */
export function decodeGpt(bytes: Uint8Array): Gpt | undefined {
  return exactly(bytes, (reader) => {
    const header = reader.raw(GPT_HEADER_BYTES)
    const count = bounded(reader.u64(), PARTITIONS_MAX)
    if (count === undefined) return undefined
    const partitions = Array.from({ length: count }, () => decodePartition(reader.raw(GPT_ENTRY_BYTES)))
    return { disk: guidText(header.subarray(56, 56 + GUID_BYTES)), partitions }
  })
}

function decodePartition(entry: Uint8Array): Partition {
  const reader = new LittleEndianReader(entry)
  const [type, unique] = [guidText(reader.raw(GUID_BYTES)), guidText(reader.raw(GUID_BYTES))]
  const [firstLba, lastLba] = [reader.u64(), reader.u64()]
  reader.u64()
  const name = fromUtf16(reader.raw(reader.remainingBytes))?.replace(/\0+$/, '')
  return { type, unique, firstLba, lastLba, name }
}

export interface HandoffTable {
  readonly guid: string
  readonly address: bigint
}

/** UEFI_HANDOFF_TABLE_POINTERS, or ..._POINTERS2 with its description. The digest is over the tables, not over the pointers. */
export function decodeHandoffTables(bytes: Uint8Array, described: boolean): readonly HandoffTable[] | undefined {
  return exactly(bytes, (reader) => {
    if (described) reader.raw(reader.u8())
    const count = bounded(reader.u64(), HANDOFF_TABLES_MAX)
    if (count === undefined) return undefined
    return Array.from({ length: count }, () => ({ guid: guidText(reader.raw(GUID_BYTES)), address: reader.u64() }))
  })
}

export interface TaggedEvent {
  readonly tag: number
  readonly data: Uint8Array
}

/** TCG_PCClientTaggedEvent */
export function decodeTaggedEvent(bytes: Uint8Array): TaggedEvent | undefined {
  return exactly(bytes, (reader) => {
    const tag = reader.u32()
    return { tag, data: reader.raw(reader.u32()) }
  })
}

export interface FirmwareBlob {
  readonly address: bigint
  readonly lengthBytes: bigint
}

/** UEFI_PLATFORM_FIRMWARE_BLOB. The digest is over the blob. */
export function decodeFirmwareBlob(bytes: Uint8Array): FirmwareBlob | undefined {
  return exactly(bytes, (reader) => ({ address: reader.u64(), lengthBytes: reader.u64() }))
}
