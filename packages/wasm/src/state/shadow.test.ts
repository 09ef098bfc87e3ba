import { PAGE_BYTES } from '@reprise/core'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { pagesDiffer, takeChangedPages, UsedBlocks, type WhereToLook } from './shadow.ts'

/** More than are compared at once. */
const PAGES = 40
const at = fc.nat(PAGES * PAGE_BYTES - 1)

function taken(memory: Uint8Array, shadow: Uint8Array, where?: WhereToLook): number[] {
  return [...takeChangedPages(memory, shadow, pagesDiffer, where)].flatMap((part) => [...part])
}

test('finds what was written, wherever one has to look, and the shadow is the memory afterwards', () => {
  const writes = fc.array(fc.record({ at, value: fc.nat(2) }), { maxLength: 6 })
  fc.assert(
    fc.property(fc.array(writes), fc.boolean(), fc.boolean(), (rounds, isTold, isZeroAtFirst) => {
      const memory = new Uint8Array(PAGES * PAGE_BYTES)
      const shadow = new Uint8Array(memory.length)
      const used = isZeroAtFirst ? new UsedBlocks() : undefined
      for (const round of rounds) {
        const before = memory.slice()
        for (const write of round) memory[write.at] = write.value
        const touched = [...new Set(round.map((write) => Math.floor(write.at / PAGE_BYTES)))].toSorted((a, b) => a - b)
        const candidates = touched.map((first) => ({ first, count: 1 }))
        const changed = touched.filter((page) => pagesDiffer(before, memory, page * PAGE_BYTES, PAGE_BYTES))
        expect(taken(memory, shadow, { used, ...(isTold && { candidates }) })).toEqual(changed)
        expect(Buffer.compare(shadow, memory)).toBe(0)
      }
    }),
    { numRuns: 50 },
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
