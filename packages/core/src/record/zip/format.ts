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
function sharedFields(bytes: Uint8Array, at: number, header: ZipHeader, nameBytes: number): void {
  set16(bytes, at, VERSION_NEEDED)
  set16(bytes, at + 2, FLAG_UTF8)
  set16(bytes, at + 4, header.method)
  set16(bytes, at + 6, MIDNIGHT)
  set16(bytes, at + 8, DAY_1980_01_01)
  set32(bytes, at + 10, header.crc32)
  set32(bytes, at + 14, header.compressedBytes)
  set32(bytes, at + 18, header.lengthBytes)
  set16(bytes, at + 22, nameBytes)
}

/** Little-endian. A DataView would first move these few bytes out of the engine's own heap. */
function set16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value
  bytes[at + 1] = value >>> 8
}

function set32(bytes: Uint8Array, at: number, value: number): void {
  set16(bytes, at, value)
  set16(bytes, at + 2, value >>> 16)
}

export function encodeLocalHeader(header: ZipHeader): Uint8Array {
  const name = utf8(header.name)
  const bytes = new Uint8Array(LOCAL_HEADER_BYTES + name.length)
  set32(bytes, 0, 0x04034b50)
  sharedFields(bytes, 4, header, name.length)
  bytes.set(name, LOCAL_HEADER_BYTES)
  return bytes
}

export function encodeCentralHeader(header: ZipHeader, localOffset: number): Uint8Array {
  const name = utf8(header.name)
  const bytes = new Uint8Array(CENTRAL_HEADER_BYTES + name.length)
  set32(bytes, 0, 0x02014b50)
  set16(bytes, 4, VERSION_MADE_BY_UNIX)
  sharedFields(bytes, 6, header, name.length)
  set32(bytes, 38, REGULAR_FILE_0644)
  set32(bytes, 42, localOffset)
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
  set32(bytes, 0, 0x06054b50)
  set16(bytes, 8, end.entries)
  set16(bytes, 10, end.entries)
  set32(bytes, 12, end.centralBytes)
  set32(bytes, 16, end.centralOffset)
  return bytes
}
