/**
 * Which pages a machine has changed since the last look: a shadow copy of its memory, compared page
 * by page. The shadow is also what gets hashed, so the machine can go on at once.
 */
import { PAGE_BYTES } from '@reprise/core'

/**
 * True when some of the `lengthBytes` bytes at `offset` of `a` and at `offsetB` of `b` differ, all multiples of `PAGE_BYTES`;
 * Node hands in memcmp.
 */
export type PagesDiffer = (
  a: Uint8Array,
  b: Uint8Array,
  offset: number,
  lengthBytes: number,
  offsetB?: number,
) => boolean

/** Compared at once before each page is: a call of memcmp takes as long as it looks at a page or two. */
const BLOCK_PAGES = 16
const ZEROS = new Uint8Array(BLOCK_PAGES * PAGE_BYTES)

/** Some may be hashed while others are looked for: a megabyte is worth a message. */
const PART_PAGES = 256

/** Consecutive pages. */
export interface PageRange {
  readonly first: number
  readonly count: number
}

export interface WhereToLook {
  /** Ascending and apart, by a caller who knows that nothing else has changed. */
  readonly candidates?: readonly PageRange[] | undefined
  /** Where the shadow may hold something. What is zero need not be looked at: to touch memory for the first time costs most of that. */
  readonly used?: UsedBlocks | undefined
}

/** Which blocks of a shadow that began with zeros may hold something. */
export class UsedBlocks {
  #used = new Uint8Array()

  /** @param pages - Any part of them. */
  add({ first, count }: PageRange): void {
    const end = Math.ceil((first + count) / BLOCK_PAGES)
    if (end > this.#used.length) {
      const larger = new Uint8Array(Math.max(end, 2 * this.#used.length))
      larger.set(this.#used)
      this.#used = larger
    }
    this.#used.fill(1, Math.floor(first / BLOCK_PAGES), end)
  }

  /** @param pages - No more than a block, at whatever page it begins. */
  has({ first, count }: PageRange): boolean {
    const isUsed = (page: number): boolean => this.#used[Math.floor(page / BLOCK_PAGES)] === 1
    return isUsed(first) || isUsed(first + count - 1)
  }
}

/**
 * Brings `shadow` up to `memory` and says what changed, part by part: of the pages of one the shadow is as it stays.
 *
 * @param memory - Whole pages.
 * @param shadow - As long as `memory`; zero where the memory has grown since the last time.
 * @yields Page numbers in ascending order, each part above the one before.
 */
export function* takeChangedPages(
  memory: Uint8Array,
  shadow: Uint8Array,
  differ: PagesDiffer,
  { candidates = [{ first: 0, count: memory.length / PAGE_BYTES }], used }: WhereToLook = {},
): Generator<Int32Array<ArrayBuffer>> {
  let part: number[] = []
  for (const { first, count } of candidates) {
    for (let block = first; block < first + count; block += BLOCK_PAGES) {
      const end = Math.min(block + BLOCK_PAGES, first + count)
      const pages = { first: block, count: end - block }
      const [offset, lengthBytes] = [block * PAGE_BYTES, pages.count * PAGE_BYTES]
      const isZero = used?.has(pages) === false
      const isSame = isZero
        ? !differ(memory, ZEROS, offset, lengthBytes, 0)
        : !differ(memory, shadow, offset, lengthBytes)
      if (isSame) continue
      // Both blocks that these pages may lie in: of two the shadow may have used one.
      used?.add(pages)
      for (let page = block; page < end; page++) {
        const start = page * PAGE_BYTES
        if (!differ(memory, shadow, start, PAGE_BYTES)) continue
        shadow.set(memory.subarray(start, start + PAGE_BYTES), start)
        part.push(page)
      }
      if (part.length < PART_PAGES) continue
      yield Int32Array.from(part)
      part = []
    }
  }
  yield Int32Array.from(part)
}

/** The portable comparison, 8 bytes at a time. */
export const pagesDiffer: PagesDiffer = (a, b, offset, lengthBytes, offsetB = offset) => {
  const left = new BigUint64Array(a.buffer, a.byteOffset + offset, lengthBytes / 8)
  const right = new BigUint64Array(b.buffer, b.byteOffset + offsetB, lengthBytes / 8)
  for (let i = 0; i < left.length; i++) if (left[i] !== right[i]) return true
  return false
}
