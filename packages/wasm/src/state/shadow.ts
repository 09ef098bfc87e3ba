/**
 * Which pages a machine has changed since the last look: a shadow copy of its memory, compared page
 * by page. The shadow is also what gets hashed, so the machine can go on at once.
 */
import { PAGE_BYTES } from '@reprise/core'

/** True when the `PAGE_BYTES` bytes at `offset` differ; Node hands in memcmp. */
export type PageDiffers = (a: Uint8Array, b: Uint8Array, offset: number) => boolean

/** Consecutive pages. */
export interface PageRange {
  readonly first: number
  readonly count: number
}

/**
 * Brings `shadow` up to `memory` and says what changed.
 *
 * @param memory - Whole pages.
 * @param shadow - As long as `memory`; zero where the memory has grown since the last time.
 * @param candidates - Where to look, ascending and apart, by a caller who knows that nothing else has changed.
 * @returns Page numbers in ascending order.
 */
export function takeChangedPages(
  memory: Uint8Array,
  shadow: Uint8Array,
  differs: PageDiffers,
  candidates: readonly PageRange[] = [{ first: 0, count: memory.length / PAGE_BYTES }],
): Int32Array {
  const pages = new Int32Array(candidates.reduce((sum, { count }) => sum + count, 0))
  let changed = 0
  for (const { first, count } of candidates) {
    for (let page = first; page < first + count; page++) {
      const offset = page * PAGE_BYTES
      if (!differs(memory, shadow, offset)) continue
      shadow.set(memory.subarray(offset, offset + PAGE_BYTES), offset)
      pages[changed++] = page
    }
  }
  return pages.slice(0, changed)
}

/** The portable comparison, 8 bytes at a time. */
export const pageDiffers: PageDiffers = (a, b, offset) => {
  const left = new BigUint64Array(a.buffer, a.byteOffset + offset, PAGE_BYTES / 8)
  const right = new BigUint64Array(b.buffer, b.byteOffset + offset, PAGE_BYTES / 8)
  for (let i = 0; i < left.length; i++) if (left[i] !== right[i]) return true
  return false
}
