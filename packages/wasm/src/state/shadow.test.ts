import { PAGE_BYTES } from '@reprise/core'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { pagesDiffer, takeChangedPages } from './shadow.ts'

/** More than are compared at once. */
const PAGES = 40
const at = fc.nat(PAGES * PAGE_BYTES - 1)

test('finds what was written, wherever one has to look, and the shadow is the memory afterwards', () => {
  const writes = fc.array(fc.record({ at, value: fc.nat(2) }), { maxLength: 6 })
  fc.assert(
    fc.property(fc.array(writes), fc.boolean(), (rounds, isTold) => {
      const memory = new Uint8Array(PAGES * PAGE_BYTES)
      const shadow = new Uint8Array(memory.length)
      for (const round of rounds) {
        const before = memory.slice()
        for (const write of round) memory[write.at] = write.value
        const touched = [...new Set(round.map((write) => Math.floor(write.at / PAGE_BYTES)))].toSorted((a, b) => a - b)
        const candidates = touched.map((first) => ({ first, count: 1 }))
        const changed = touched.filter((page) => pagesDiffer(before, memory, page * PAGE_BYTES, PAGE_BYTES))
        expect([...takeChangedPages(memory, shadow, pagesDiffer, isTold ? candidates : undefined)]).toEqual(changed)
        expect(Buffer.compare(shadow, memory)).toBe(0)
      }
    }),
    { numRuns: 50 },
  )
})

test('looks nowhere else than it is told', () => {
  const memory = new Uint8Array(3 * PAGE_BYTES).fill(1)
  const shadow = new Uint8Array(memory.length)
  expect([...takeChangedPages(memory, shadow, pagesDiffer, [{ first: 1, count: 1 }])]).toEqual([1])
  expect([shadow[0], shadow[PAGE_BYTES], shadow[2 * PAGE_BYTES]]).toEqual([0, 1, 0])
})
