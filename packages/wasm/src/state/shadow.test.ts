import { PAGE_BYTES } from '@reprise/core'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { pagesDiffer, takeChangedPages, UsedBlocks, type PageRange, type WhereToLook } from './shadow.ts'

/** More than are compared at once. */
const PAGES = 40
const at = fc.nat(PAGES * PAGE_BYTES - 1)

function taken(memory: Uint8Array, shadow: Uint8Array, where?: WhereToLook): number[] {
  return [...takeChangedPages(memory, shadow, pagesDiffer, where)].flatMap((part) => [...part])
}

const ascending = (pages: readonly number[]): number[] => [...new Set(pages)].toSorted((a, b) => a - b)

/** Within the memory. */
const pagesOf = ({ first, count }: PageRange): number[] =>
  Array.from({ length: count }, (_, i) => first + i).filter((page) => page < PAGES)

function runsOf(pages: readonly number[]): PageRange[] {
  const runs: { first: number; count: number }[] = []
  for (const page of ascending(pages)) {
    const last = runs.at(-1)
    if (last !== undefined && last.first + last.count === page) last.count += 1
    else runs.push({ first: page, count: 1 })
  }
  return runs
}

test('finds what was written, wherever one has to look, and the shadow is the memory afterwards', () => {
  const writes = fc.array(fc.record({ at, value: fc.nat(2) }), { maxLength: 6 })
  // What is told may be more than was written, and lie across what is compared at once.
  const more = fc.array(fc.record({ first: fc.nat(PAGES - 1), count: fc.integer({ min: 1, max: 20 }) }), {
    maxLength: 3,
  })
  const round = fc.record({ writes, more })
  fc.assert(
    fc.property(fc.array(round), fc.boolean(), fc.boolean(), (rounds, isTold, isZeroAtFirst) => {
      const memory = new Uint8Array(PAGES * PAGE_BYTES)
      const shadow = new Uint8Array(memory.length)
      const used = isZeroAtFirst ? new UsedBlocks() : undefined
      for (const round of rounds) {
        const before = memory.slice()
        for (const write of round.writes) memory[write.at] = write.value
        const touched = ascending(round.writes.map((write) => Math.floor(write.at / PAGE_BYTES)))
        const candidates = runsOf([...touched, ...round.more.flatMap(pagesOf)])
        const changed = touched.filter((page) => pagesDiffer(before, memory, page * PAGE_BYTES, PAGE_BYTES))
        expect(taken(memory, shadow, { used, ...(isTold && { candidates }) })).toEqual(changed)
        expect(Buffer.compare(shadow, memory)).toBe(0)
      }
    }),
    {
      numRuns: 500,
      // Written across the end of a block that was in use and one that was not; then only the latter is named, and is zero again.
      examples: [
        [
          [
            { writes: [{ at: 2 * PAGE_BYTES, value: 1 }], more: [] },
            { writes: [{ at: 20 * PAGE_BYTES, value: 1 }], more: [{ first: 8, count: 16 }] },
            { writes: [{ at: 20 * PAGE_BYTES, value: 0 }], more: [] },
          ],
          true,
          true,
        ],
      ],
    },
  )
})

test('looks nowhere else than it is told', () => {
  const memory = new Uint8Array(3 * PAGE_BYTES).fill(1)
  const shadow = new Uint8Array(memory.length)
  expect(taken(memory, shadow, { candidates: [{ first: 1, count: 1 }] })).toEqual([1])
  expect([shadow[0], shadow[PAGE_BYTES], shadow[2 * PAGE_BYTES]]).toEqual([0, 1, 0])
})

test('what the shadow held from the beginning is seen to go', () => {
  const memory = new Uint8Array(PAGES * PAGE_BYTES)
  const shadow = new Uint8Array(memory.length).fill(1, 17 * PAGE_BYTES, 18 * PAGE_BYTES)
  const used = new UsedBlocks()
  used.add({ first: 17, count: 1 })
  expect(taken(memory, shadow, { used })).toEqual([17])
  expect(used.has({ first: 2, count: 14 })).toBe(false)
  expect(used.has({ first: 2, count: 15 })).toBe(true)
})

test('of a part that is told, the shadow is as the memory', () => {
  const memory = new Uint8Array(1000 * PAGE_BYTES).fill(1)
  const shadow = new Uint8Array(memory.length)
  let told = 0
  let parts = 0
  for (const part of takeChangedPages(memory, shadow, pagesDiffer)) {
    expect(part.every((page, i) => page === told + i && shadow[page * PAGE_BYTES] === 1)).toBe(true)
    told += part.length
    parts++
  }
  expect(told).toBe(1000)
  expect(parts).toBeGreaterThan(2)
})
