/** A difference in memory as people read it: the values that most likely stand there, and the bytes around them. */
import { hex } from '@reprise/core'

export interface LikelyValue {
  readonly type: 'text' | 'f64' | 'i32'
  readonly address: number
  readonly a: string
  readonly b: string
}

export interface MemoryPlace {
  /** Of the first byte that differs. */
  readonly address: number
  /** From there, as many bytes as differ in one go, at most 16; hex, shorter where that memory ends. */
  readonly a: string
  readonly b: string
  /** What it is read as, the likeliest first; never none. */
  readonly as: readonly LikelyValue[]
  /** Two rows of 16 bytes from here; hex. */
  readonly around: { readonly address: number; readonly a: string; readonly b: string }
}

const RUN_BYTES_MAX = 16
const ROW_BYTES = 16
const TEXT_BYTES = 24
/** Doubles of other sizes are seldom what a program computes, and often something else. */
const DOUBLE = { least: 1e-12, most: 1e15 } as const

/** @param address - Where the two memories differ first. */
export function memoryPlace(a: Uint8Array, b: Uint8Array, address: number): MemoryPlace {
  let end = address + 1
  while (end < address + RUN_BYTES_MAX && a[end] !== b[end]) end++
  const row = address - (address % ROW_BYTES)
  const part = (memory: Uint8Array, from: number, to: number): string => hex(memory.subarray(from, to))
  return {
    address,
    a: part(a, address, end),
    b: part(b, address, end),
    as: likelyValues(a, b, address),
    around: { address: row, a: part(a, row, row + 2 * ROW_BYTES), b: part(b, row, row + 2 * ROW_BYTES) },
  }
}

function likelyValues(a: Uint8Array, b: Uint8Array, address: number): LikelyValue[] {
  const texts = { a: textAround(a, address), b: textAround(b, address) }
  if (texts.a !== undefined && texts.b !== undefined && texts.a.at === texts.b.at) {
    const [ofA, ofB] = [JSON.stringify(texts.a.text), JSON.stringify(texts.b.text)]
    return [{ type: 'text', address: texts.a.at, a: ofA, b: ofB }]
  }
  const values: LikelyValue[] = []
  const at8 = address - (address % 8)
  const doubles = { a: viewAt(a, at8, 8)?.getFloat64(0, true), b: viewAt(b, at8, 8)?.getFloat64(0, true) }
  if (isLikely(doubles.a) && isLikely(doubles.b) && (doubles.a !== 0 || doubles.b !== 0)) {
    values.push({ type: 'f64', address: at8, a: String(doubles.a), b: String(doubles.b) })
  }
  const at4 = address - (address % 4)
  const word = (memory: Uint8Array): string => String(viewAt(memory, at4, 4)?.getInt32(0, true) ?? 'none')
  values.push({ type: 'i32', address: at4, a: word(a), b: word(b) })
  return values
}

function viewAt(memory: Uint8Array, at: number, lengthBytes: number): DataView | undefined {
  if (at + lengthBytes > memory.length) return undefined
  return new DataView(memory.buffer, memory.byteOffset + at, lengthBytes)
}

function isLikely(value: number | undefined): value is number {
  if (value === undefined) return false
  const size = Math.abs(value)
  return value === 0 || (size >= DOUBLE.least && size <= DOUBLE.most)
}

/** The printable text that an address lies in, from at most some bytes before it on. */
function textAround(memory: Uint8Array, address: number): { readonly at: number; readonly text: string } | undefined {
  const isText = (at: number): boolean => {
    const byte = memory[at]
    return byte !== undefined && ((byte >= 0x20 && byte < 0x7f) || byte === 0x0a || byte === 0x09)
  }
  if (!isText(address)) return undefined
  let start = address
  while (start > 0 && start > address - TEXT_BYTES / 2 && isText(start - 1)) start--
  let end = address + 1
  while (end < start + TEXT_BYTES && isText(end)) end++
  if (end - start < 4) return undefined
  return { at: start, text: Buffer.from(memory.subarray(start, end)).toString('latin1') }
}
