/**
 * The memory of snapshots: pages that changed are packed, pages that did not stay in the packs of
 * earlier snapshots. Format: spec/record.md §8.
 */
import { PAGE_BYTES, type PageRun } from '@reprise/core'

export const PACK_BYTES_MAX = 64 << 20
/** Packs hold at most this many times the pages in use; then everything is packed anew. */
const WASTE_MAX = 3
const NOWHERE = -1

export interface PackedMemory {
  /** New packs, each a copy. */
  readonly added: readonly Uint8Array[]
  /** Once the new packs have their places: the packs in use, by number, and where each page lies. */
  readonly place: (added: readonly number[]) => {
    readonly packs: readonly number[]
    readonly pages: readonly PageRun[]
  }
}

/** Knows in which pack the newest copy of each page lies; a pack is known by a number that its owner gives. */
export class MemoryPacker {
  #pack = new Int32Array(0)
  #page = new Int32Array(0)
  readonly #changed = new Set<number>()

  /** Notes pages that differ from the last snapshot. */
  note(pages: Iterable<number>): void {
    for (const page of pages) this.#changed.add(page)
  }

  /** Copies what changed since the last time out of `memory`, which may change afterwards. */
  pack(memory: Uint8Array): PackedMemory {
    const count = memory.length / PAGE_BYTES
    this.#resize(count)
    if (this.#isWasteful()) for (let page = 0; page < count; page++) this.#changed.add(page)
    const wanted: number[] = []
    for (const page of [...this.#changed].sort((a, b) => a - b)) {
      if (page >= count) continue
      if (isZero(memory, page)) this.#pack[page] = NOWHERE
      else wanted.push(page)
    }
    this.#changed.clear()
    const perPack = PACK_BYTES_MAX / PAGE_BYTES
    const added: Uint8Array[] = []
    for (let first = 0; first < wanted.length; first += perPack)
      added.push(copyPages(memory, wanted.slice(first, first + perPack)))
    return {
      added,
      place: (numbers) => {
        for (const [i, page] of wanted.entries()) {
          this.#pack[page] = numbers[Math.floor(i / perPack)] ?? NOWHERE
          this.#page[page] = i % perPack
        }
        return this.#runs()
      },
    }
  }

  #resize(count: number): void {
    if (count === this.#pack.length) return
    const [pack, page] = [new Int32Array(count).fill(NOWHERE), new Int32Array(count)]
    pack.set(this.#pack.subarray(0, count))
    page.set(this.#page.subarray(0, count))
    this.#pack = pack
    this.#page = page
  }

  #isWasteful(): boolean {
    const longest = new Map<number, number>()
    let used = 0
    for (const [page, pack] of this.#pack.entries()) {
      if (pack === NOWHERE) continue
      used += 1
      longest.set(pack, Math.max(longest.get(pack) ?? 0, (this.#page[page] ?? 0) + 1))
    }
    let held = 0
    for (const pages of longest.values()) held += pages
    return held > WASTE_MAX * used + PACK_BYTES_MAX / PAGE_BYTES
  }

  #runs(): { readonly packs: readonly number[]; readonly pages: readonly PageRun[] } {
    const packs: number[] = []
    const numbers = new Map<number, number>()
    const pages: [number, number, number, number][] = []
    for (const [page, pack] of this.#pack.entries()) {
      if (pack === NOWHERE) continue
      let number = numbers.get(pack)
      if (number === undefined) {
        number = packs.push(pack) - 1
        numbers.set(pack, number)
      }
      const inPack = this.#page[page] ?? 0
      const last = pages.at(-1)
      if (last !== undefined && last[0] + last[1] === page && last[2] === number && last[3] + last[1] === inPack)
        last[1] += 1
      else pages.push([page, 1, number, inPack])
    }
    return { packs, pages }
  }
}

function isZero(memory: Uint8Array, page: number): boolean {
  const words = new BigUint64Array(memory.buffer, memory.byteOffset + page * PAGE_BYTES, PAGE_BYTES / 8)
  return words.every((word) => word === 0n)
}

function copyPages(memory: Uint8Array, pages: readonly number[]): Uint8Array {
  const pack = new Uint8Array(pages.length * PAGE_BYTES)
  for (const [i, page] of pages.entries())
    pack.set(memory.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES), i * PAGE_BYTES)
  return pack
}

/** The memory of a manifest. @param packAt - The bytes of a pack, asked for in order and once each. */
export function unpackMemory(
  { memoryBytes, pages }: { readonly memoryBytes: number; readonly pages: readonly PageRun[] },
  packAt: (pack: number) => Uint8Array,
): Uint8Array {
  const memory = new Uint8Array(memoryBytes)
  const byPack = Map.groupBy(pages, ([, , pack]) => pack)
  for (const [pack, runs] of byPack) {
    const bytes = packAt(pack)
    for (const [first, count, , inPack] of runs) {
      memory.set(bytes.subarray(inPack * PAGE_BYTES, (inPack + count) * PAGE_BYTES), first * PAGE_BYTES)
    }
  }
  return memory
}
