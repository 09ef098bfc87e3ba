/**
 * The headers of a record's ZIP container: every field that may vary, and all others fixed.
 * A reader encodes what it read again and compares, so nothing can stand where nobody looks.
 *
 * Source: PKWARE APPNOTE 6.3.10 §4.3.7 (local header), §4.3.12 (central directory), §4.3.16 (end record).
 * Format: spec/record.md §1.
 */
import { utf8 } from '../../bytes/index.ts'

export const LOCAL_HEADER_BYTES = 30
export const CENTRAL_HEADER_BYTES = 46
export const END_RECORD_BYTES = 22

/** Larger sizes, offsets and counts are marks of ZIP64. */
export const ZIP_BYTES_MAX = 0xffff_fffe
export const ZIP_ENTRIES_MAX = 0xfffe
export const ZIP_NAME_BYTES_MAX = 256

export const STORED = 0
export const DEFLATED = 8

const VERSION_NEEDED = 20
const VERSION_MADE_BY_UNIX = 0x0314
const FLAG_UTF8 = 0x0800
const MIDNIGHT = 0
const DAY_1980_01_01 = 0x0021
const REGULAR_FILE_0644 = 0x81a40000

export interface ZipHeader {
  readonly name: string
  readonly method: typeof STORED | typeof DEFLATED
  readonly crc32: number
  readonly compressedBytes: number
  readonly lengthBytes: number
}

/** The fields that local and central headers share, 26 bytes from "version needed" to "extra field length". */
function sharedFields(view: DataView, at: number, header: ZipHeader, nameBytes: number): void {
  view.setUint16(at, VERSION_NEEDED, true)
  view.setUint16(at + 2, FLAG_UTF8, true)
  view.setUint16(at + 4, header.method, true)
  view.setUint16(at + 6, MIDNIGHT, true)
  view.setUint16(at + 8, DAY_1980_01_01, true)
  view.setUint32(at + 10, header.crc32, true)
  view.setUint32(at + 14, header.compressedBytes, true)
  view.setUint32(at + 18, header.lengthBytes, true)
  view.setUint16(at + 22, nameBytes, true)
}

export function encodeLocalHeader(header: ZipHeader): Uint8Array {
  const name = utf8(header.name)
  const bytes = new Uint8Array(LOCAL_HEADER_BYTES + name.length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, 0x04034b50, true)
  sharedFields(view, 4, header, name.length)
  bytes.set(name, LOCAL_HEADER_BYTES)
  return bytes
}

export function encodeCentralHeader(header: ZipHeader, localOffset: number): Uint8Array {
  const name = utf8(header.name)
  const bytes = new Uint8Array(CENTRAL_HEADER_BYTES + name.length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, 0x02014b50, true)
  view.setUint16(4, VERSION_MADE_BY_UNIX, true)
  sharedFields(view, 6, header, name.length)
  view.setUint32(38, REGULAR_FILE_0644, true)
  view.setUint32(42, localOffset, true)
  bytes.set(name, CENTRAL_HEADER_BYTES)
  return bytes
}

export interface ZipEnd {
  readonly entries: number
  readonly centralBytes: number
  readonly centralOffset: number
}

export function encodeEndRecord(end: ZipEnd): Uint8Array {
  const bytes = new Uint8Array(END_RECORD_BYTES)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, 0x06054b50, true)
  view.setUint16(8, end.entries, true)
  view.setUint16(10, end.entries, true)
  view.setUint32(12, end.centralBytes, true)
  view.setUint32(16, end.centralOffset, true)
  return bytes
}
