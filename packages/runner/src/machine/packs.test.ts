import { hash } from 'node:crypto'
import { decodeManifest, PAGE_BYTES, type BlobRef } from '@reprise/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { manifestMemory, MemoryPacker, PACK_BYTES_MAX, unpackMemory, type PackedMemory } from './packs.ts'

const WASM_PAGE = 65_536 / PAGE_BYTES

function unpacked(...given: Parameters<typeof unpackMemory>): Uint8Array {
  const { lengthBytes, copyTo } = unpackMemory(...given)
  const memory = new Uint8Array(lengthBytes)
  copyTo(memory)
  return memory
}

function restored(memoryBytes: number, packed: PackedMemory, packs: readonly Uint8Array[]): Uint8Array {
  return unpacked({ memoryBytes, pages: packed.pages }, (index) => packs[packed.packs[index]])
}

/** Decoded as any reader would, so that what no reader takes fails here. */
function manifest(memoryBytes: number, packed: PackedMemory, packs: readonly Uint8Array[]) {
  const blob = (bytes: Uint8Array): BlobRef => ({ lengthBytes: bytes.length, sha256: hash('sha256', bytes) })
  const nothing = blob(new Uint8Array())
  return decodeManifest({
    schema: 'reprise/snapshot/v1',
    contents: [],
    frames: nothing,
    globals: [],
    host: nothing,
    memoryBytes,
    ...manifestMemory(packed, (pack) => blob(packs[pack])),
    phase: 'main',
    position: '1',
  })
}

/** Few distinct values on few pages: equal packs, pages that become zero again, and changes noted several times. */
const steps = fc.array(
  fc.record({
    grow: fc.boolean(),
    writes: fc.array(fc.record({ page: fc.nat(2 * WASM_PAGE - 1), value: fc.nat(2) }), { maxLength: 6 }),
    packs: fc.boolean(),
  }),
  { maxLength: 24 },
)

describe('packed memory', () => {
  test('is the memory as it was when it was packed, whatever came before and comes after', () => {
    fc.assert(
      fc.property(steps, (sequence) => {
        const packer = new MemoryPacker()
        const packs: Uint8Array[] = []
        const taken: { memory: Uint8Array; packed: PackedMemory }[] = []
        let memory = new Uint8Array(WASM_PAGE * PAGE_BYTES)
        for (const { grow, writes, packs: isPacked } of sequence) {
          if (grow && memory.length === WASM_PAGE * PAGE_BYTES) {
            const grown = new Uint8Array(2 * memory.length)
            grown.set(memory)
            memory = grown
          }
          for (const { page, value } of writes) {
            if (page * PAGE_BYTES >= memory.length) continue
            memory.fill(value, page * PAGE_BYTES, (page + 1) * PAGE_BYTES)
            packer.note([page])
          }
          if (!isPacked) continue
          const packed = packer.pack(memory)
          packs.push(...packed.added)
          taken.push({ memory: memory.slice(), packed })
        }
        for (const { memory: wanted, packed } of taken) {
          expect(restored(wanted.length, packed, packs)).toEqual(wanted)
          const read = manifest(wanted.length, packed, packs)
          const byDigest = new Map(packs.map((pack) => [hash('sha256', pack), pack]))
          const bytesOf = (index: number): Uint8Array => byDigest.get(read.packs[index].sha256) ?? new Uint8Array()
          expect(unpacked(read, bytesOf)).toEqual(wanted)
        }
      }),
      { numRuns: process.env['REPRISE_TESTS'] === 'check' ? 15 : 60 },
    )
  })

  test('does not hold pages that are zero, or became it', () => {
    const packer = new MemoryPacker()
    const memory = new Uint8Array(WASM_PAGE * PAGE_BYTES)
    memory.fill(1, PAGE_BYTES, 3 * PAGE_BYTES)
    packer.note([0, 1, 2])
    expect(packer.pack(memory)).toMatchObject({ packs: [0], pages: [[1, 2, 0, 0]] })
    memory.fill(0, PAGE_BYTES, 2 * PAGE_BYTES)
    packer.note([1])
    expect(packer.pack(memory)).toEqual({ added: [], packs: [0], pages: [[2, 1, 0, 1]] })
  })

  test('names packs of equal bytes once', () => {
    const packer = new MemoryPacker()
    const memory = new Uint8Array(WASM_PAGE * PAGE_BYTES)
    const packs: Uint8Array[] = []
    let packed: PackedMemory | undefined
    for (const page of [3, 1]) {
      memory.fill(7, page * PAGE_BYTES, (page + 1) * PAGE_BYTES)
      packer.note([page])
      packed = packer.pack(memory)
      packs.push(...packed.added)
    }
    expect(packed?.packs).toEqual([1, 0])
    const { packs: named, pages } = manifest(memory.length, packed!, packs)
    expect(named).toHaveLength(1)
    expect(pages).toEqual([
      [1, 1, 0, 0],
      [3, 1, 0, 0],
    ])
  })

  test('leaves no pack behind of which next to nothing is in use', () => {
    const packer = new MemoryPacker()
    const memory = new Uint8Array(4 * WASM_PAGE * PAGE_BYTES).fill(1)
    const all = Array.from({ length: 4 * WASM_PAGE }, (_, page) => page)
    packer.note(all)
    packer.pack(memory)
    packer.note(all.slice(4))
    // Four of 64 pages are as many as a pack may be kept for, three are not.
    expect(packer.pack(memory).packs).toEqual([0, 1])
    packer.note([0])
    const { added, packs, pages } = packer.pack(memory)
    expect(packs).toEqual([2, 1])
    expect(added.map(({ length }) => length / PAGE_BYTES)).toEqual([4])
    expect(pages).toEqual([
      [0, 4, 0, 0],
      [4, 60, 1, 0],
    ])
  })

  test('is packed anew before its packs hold more than three times what is in use, and one pack', () => {
    const packer = new MemoryPacker()
    const count = PACK_BYTES_MAX / PAGE_BYTES / 2
    const memory = new Uint8Array(count * PAGE_BYTES).fill(1)
    const all = Array.from({ length: count }, (_, page) => page)
    const lengths: number[] = []
    for (let round = 0; round < 8; round++) {
      // The last pages stay in the pack of this round, all others move on to the next one.
      packer.note(all.slice(0, count - 700 * round))
      const { added, packs } = packer.pack(memory)
      lengths.push(...added.map((pack) => pack.length / PAGE_BYTES))
      const held = packs.reduce((sum, pack) => sum + lengths[pack], 0)
      expect(held).toBeLessThanOrEqual(3 * count + count * 3)
    }
    expect(lengths.filter((length) => length === count)).toHaveLength(2)
  })
})
