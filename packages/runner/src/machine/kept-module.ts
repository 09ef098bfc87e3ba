/**
 * Rewritten modules as they are kept in the cache, so that a machine whose memory comes from elsewhere reads no data:
 *
 *     CRC-32 of what stands between the second one and the data, CRC-32 of the data, lengths of the facts, of the emptied data
 *     section and of what the module has before its data, 4 bytes each (big-endian)
 *     the facts as JSON, the emptied data section, the module, its data last
 *
 * The sums find what accident has changed. Who means to change it could write any other sum as well, and a cryptographic one
 * takes a tenth of a start.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import { fromUtf8, utf8 } from '@reprise/core'
import { dataOf, type ModuleFacts } from '@reprise/wasm'
import { writeWhole } from './kept-file.ts'

export interface KeptModule {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly facts: ModuleFacts
  /** Its active data segments have no bytes. */
  readonly isEmptied: boolean
}

const HEADER_BYTES = 20
/** What the first sum is of begins behind both. */
const SUMS_BYTES = 8

interface Header {
  readonly sum: number
  readonly dataSum: number
  readonly factsBytes: number
  readonly emptiedBytes: number
  readonly codeBytes: number
}

function headerOf(file: Uint8Array): Header {
  const view = new DataView(file.buffer, file.byteOffset, HEADER_BYTES)
  const [sum, dataSum, factsBytes, emptiedBytes, codeBytes] = [0, 4, 8, 12, 16].map((at) => view.getUint32(at))
  return { sum, dataSum, factsBytes, emptiedBytes, codeBytes }
}

/** How many bytes stand before the data. */
const headBytesOf = ({ factsBytes, emptiedBytes, codeBytes }: Header): number =>
  HEADER_BYTES + factsBytes + emptiedBytes + codeBytes

/**
 * @returns Undefined when there is none or it is damaged: making it again mends both. Its bytes are the only ones in their
 *   buffer, which may be given back when they are no longer needed.
 */
export function readKeptModule(path: string, { isEmptied }: { readonly isEmptied: boolean }): KeptModule | undefined {
  let file: number | undefined
  try {
    file = openSync(path, 'r')
    return readOpen(file, { isEmptied })
  } catch {
    return undefined
  } finally {
    if (file !== undefined) closeSync(file)
  }
}

/** Without its data there is room for the emptied section behind what is read. */
function readOpen(file: number, { isEmptied }: { readonly isEmptied: boolean }): KeptModule | undefined {
  const sizeBytes = fstatSync(file).size
  const begin = new Uint8Array(HEADER_BYTES)
  if (readSync(file, begin, 0, HEADER_BYTES, 0) < HEADER_BYTES) return undefined
  const header = headerOf(begin)
  const headBytes = headBytesOf(header)
  if (headBytes > sizeBytes) return undefined
  // Memory that is written to at once need not be zero before, and none that others have a part of can be given back.
  const { buffer } = Buffer.allocUnsafeSlow(isEmptied ? headBytes + header.emptiedBytes : sizeBytes)
  const bytes = new Uint8Array(buffer)
  if (readSummed(file, bytes, SUMS_BYTES, headBytes) !== header.sum) return undefined
  if (!isEmptied && readSummed(file, bytes, headBytes, sizeBytes) !== header.dataSum) return undefined
  const factsEnd = HEADER_BYTES + header.factsBytes
  const moduleStart = factsEnd + header.emptiedBytes
  if (isEmptied) bytes.copyWithin(headBytes, factsEnd, moduleStart)
  const facts = JSON.parse(fromUtf8(bytes.subarray(HEADER_BYTES, factsEnd))) as ModuleFacts
  return { bytes: bytes.subarray(moduleStart), facts, isEmptied }
}

/** What a processor still has at hand when the sum is made of it. */
const PIECE_BYTES = 1 << 18

/** Reads a part of a file to the same place in `bytes`. @returns Its CRC-32; undefined when the file ends before it. */
function readSummed(file: number, bytes: Uint8Array, start: number, end: number): number | undefined {
  let sum = 0
  for (let at = start; at < end;) {
    const count = readSync(file, bytes, at, Math.min(PIECE_BYTES, end - at), at)
    if (count === 0) return undefined
    sum = crc32(bytes.subarray(at, at + count), sum)
    at += count
  }
  return sum
}

/** @throws RunnerError `DISK_FULL`, `WRITE`. */
export function writeKeptModule(
  path: string,
  { bytes, facts }: Pick<KeptModule, 'facts'> & { bytes: Uint8Array },
): void {
  const { at, emptied } = dataOf(bytes) ?? { at: bytes.length, emptied: new Uint8Array() }
  const parts = [utf8(JSON.stringify(facts)), emptied, bytes.subarray(0, at)]
  const header = new Uint8Array(HEADER_BYTES)
  const view = new DataView(header.buffer)
  for (const [i, { length }] of parts.entries()) view.setUint32(SUMS_BYTES + 4 * i, length)
  const head = [header.subarray(SUMS_BYTES), ...parts]
  view.setUint32(
    0,
    head.reduce((sum, part) => crc32(part, sum), 0),
  )
  view.setUint32(4, crc32(bytes.subarray(at)))
  writeWhole(path, [header, ...parts, bytes.subarray(at)], 'the rewritten program')
}
