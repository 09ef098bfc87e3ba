/** Which pages of two memories differ, and in which bytes. Pages are those of spec/measurement.md §2.2. */

import { PAGE_BYTES } from '@reprise/core'

/** Compared at once while everything is equal, which it nearly always is. */
const STRIDE_BYTES = 256 * PAGE_BYTES

export interface ByteDifference {
  readonly address: number
  /** Null beyond the end of that memory. */
  readonly a: number | null
  readonly b: number | null
}

export interface PageDifferences {
  /** The first ones, ascending, at most `maxPages`. */
  readonly pages: readonly number[]
  /** All that differ; what only one memory has differs. */
  readonly pageCount: number
  /** The first ones, ascending, at most `maxBytes`. */
  readonly bytes: readonly ByteDifference[]
}

export function diffPages(
  a: Uint8Array,
  b: Uint8Array,
  { maxPages, maxBytes }: { readonly maxPages: number; readonly maxBytes: number },
): PageDifferences {
  const [left, right] = [bufferOf(a), bufferOf(b)]
  const lengthBytes = Math.max(a.length, b.length)
  const pages: number[] = []
  const bytes: ByteDifference[] = []
  let pageCount = 0
  for (let stride = 0; stride < lengthBytes; stride += STRIDE_BYTES) {
    if (equalRange(left, right, stride, stride + STRIDE_BYTES)) continue
    const strideEnd = Math.min(stride + STRIDE_BYTES, lengthBytes)
    for (let start = stride; start < strideEnd; start += PAGE_BYTES) {
      if (equalRange(left, right, start, start + PAGE_BYTES)) continue
      pageCount++
      if (pages.length < maxPages) pages.push(start / PAGE_BYTES)
      const end = Math.min(start + PAGE_BYTES, lengthBytes)
      for (let address = start; address < end && bytes.length < maxBytes; address++) {
        if (a[address] !== b[address]) bytes.push({ address, a: a[address] ?? null, b: b[address] ?? null })
      }
    }
  }
  return { pages, pageCount, bytes }
}

/** A view, for its memcmp. */
function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function equalRange(a: Buffer, b: Buffer, start: number, end: number): boolean {
  const [aEnd, bEnd] = [Math.min(end, a.length), Math.min(end, b.length)]
  if (aEnd !== bEnd) return false
  return start >= aEnd || a.compare(b, start, aEnd, start, aEnd) === 0
}
