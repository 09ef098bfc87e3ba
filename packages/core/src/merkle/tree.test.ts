import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { concat, hex, utf8 } from '../bytes/index.ts'
import {
  DIGEST_BYTES,
  digestCount,
  HashTree,
  inclusionPath,
  inclusionPaths,
  PAGE_BYTES,
  pagesRoot,
  PageTree,
  rootFromPath,
  treeHash,
  treeRoot,
} from './index.ts'

const sha256 = (data: Uint8Array) => new Uint8Array(createHash('sha256').update(data).digest())
const hash = treeHash('batch', sha256)
const leavesOf = (count: number) => Array.from({ length: count }, (_, i) => hash.leaf(utf8(String(i))))

/** RFC 9162 §2.1.1 to the letter: recursion over the largest power of two below n. */
function top(leaves: readonly Uint8Array[]): Uint8Array {
  if (leaves.length === 1) return leaves[0]
  let split = 1
  while (split * 2 < leaves.length) split *= 2
  return hash.node(top(leaves.slice(0, split)), top(leaves.slice(split)))
}

describe('treeRoot', () => {
  test('has the shape of RFC 9162 for every count up to 70', () => {
    for (let count = 1; count <= 70; count++) {
      const leaves = leavesOf(count)
      expect(hex(treeRoot(hash, leaves))).toBe(hex(hash.root(count, top(leaves))))
    }
  })

  test('of no leaves commits to the count zero', () => {
    expect(hex(treeRoot(hash, []))).toBe(hex(sha256(concat(utf8('reprise/batch/root\0'), new Uint8Array(8)))))
  })
})

describe('inclusion paths', () => {
  test('lead from every leaf to the root, and from no other index or length', () => {
    for (let count = 1; count <= 33; count++) {
      const leaves = leavesOf(count)
      const { root, paths } = inclusionPaths(hash, leaves)
      expect(hex(root)).toBe(hex(treeRoot(hash, leaves)))
      for (let index = 0; index < count; index++) {
        const path = inclusionPath(hash, leaves, index)
        expect(paths[index]?.map(hex)).toEqual(path.map(hex))
        const leaf = leaves[index]
        const lead = (at: number, over: number, by: Uint8Array[]) => {
          const found = rootFromPath(hash, { leaf, index: at, leafCount: over, path: by })
          return found === undefined ? undefined : hex(found)
        }
        expect(lead(index, count, path)).toBe(hex(root))
        expect(lead(index, count, [...path, leaf])).toBeUndefined()
        expect(lead(index, count + 1, path)).not.toBe(hex(root))
        expect(lead(count, count, path)).toBeUndefined()
        if (count > 1) expect(lead((index + 1) % count, count, path)).not.toBe(hex(root))
      }
    }
  })
})

describe('HashTree', () => {
  test('equals the one-shot root after any sequence of changes and sizes', () => {
    const step = fc.record({ size: fc.nat(40), sets: fc.array(fc.tuple(fc.nat(39), fc.nat(1000)), { maxLength: 10 }) })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const tree = new HashTree(hash)
        let mirror: Uint8Array[] = []
        for (const { size, sets } of steps) {
          tree.resize(size)
          for (let i = mirror.length; i < size; i++) tree.setLeaf(i, (mirror[i] = hash.leaf(utf8(`new ${i}`))))
          mirror = mirror.slice(0, size)
          for (const [index, value] of sets) {
            if (index < size) tree.setLeaf(index, (mirror[index] = hash.leaf(utf8(String(value)))))
          }
          expect(hex(tree.root())).toBe(hex(treeRoot(hash, mirror)))
        }
      }),
      { numRuns: 200 },
    )
  })

  test('equals it where leaves are equal in runs, filled at once', () => {
    const step = fc.record({ size: fc.nat(70), fill: fc.nat(2), sets: fc.array(fc.tuple(fc.nat(69), fc.nat(1))) })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const tree = new HashTree(hash)
        let mirror: Uint8Array[] = []
        for (const { size, fill, sets } of steps) {
          const leaf = hash.leaf(utf8(String(fill)))
          tree.resize(size)
          tree.fill(mirror.length, leaf)
          mirror = Array.from({ length: size }, (_, i) => mirror[i] ?? leaf)
          for (const [index, value] of sets) {
            if (index < size) tree.setLeaf(index, (mirror[index] = hash.leaf(utf8(String(value)))))
          }
          expect(hex(tree.root())).toBe(hex(treeRoot(hash, mirror)))
        }
      }),
      { numRuns: 200 },
    )
  })
})

describe('PageTree', () => {
  test('kept over growing, shrinking and changing bytes equals the tree of the bytes', () => {
    const tree = new PageTree(sha256)
    let bytes = new Uint8Array(0)
    const all = () => Array.from({ length: 8 }, (_, page) => page)
    for (const [length, mark] of [
      [3 * PAGE_BYTES, 5],
      [3 * PAGE_BYTES + 7, 9000],
      [100, 3],
      [0, 0],
      [6 * PAGE_BYTES, 20000],
    ] as const) {
      const next = new Uint8Array(length)
      next.set(bytes.subarray(0, length))
      if (mark < length) next[mark] = 1
      bytes = next
      tree.update(bytes, all())
      expect(hex(tree.root())).toBe(hex(pagesRoot(bytes, sha256)))
    }
  })

  test('takes pages that growth added as zero without being told', () => {
    const tree = new PageTree(sha256)
    tree.update(new Uint8Array(PAGE_BYTES), [0])
    tree.update(new Uint8Array(4 * PAGE_BYTES), [])
    expect(hex(tree.root())).toBe(hex(pagesRoot(new Uint8Array(4 * PAGE_BYTES), sha256)))
  })

  test('takes over a tree that is known without hashing it, and goes on from there', () => {
    let hashed = 0
    const counting = (data: Uint8Array) => {
      hashed += 1
      return sha256(data)
    }
    for (let count = 0; count <= 20; count++) {
      const bytes = Uint8Array.from({ length: count * PAGE_BYTES }, (_, i) => (i * 31) >> 7)
      const read = new PageTree(sha256)
      read.update(bytes, Array(count).keys())
      const digests = read.digests()
      expect(digests.length).toBe(digestCount(count) * DIGEST_BYTES)

      const told = new PageTree(counting)
      hashed = 0
      told.takeOver(bytes.length, digests)
      expect([hex(told.root()), hashed]).toEqual([hex(read.root()), 1])
      const larger = new Uint8Array((count + 3) * PAGE_BYTES)
      larger.set(bytes)
      larger[0] += 1
      told.update(larger, [0])
      expect(hex(told.root())).toBe(hex(pagesRoot(larger, sha256)))
      expect(() => told.takeOver(bytes.length + PAGE_BYTES, digests)).toThrow(RangeError)
      expect(hex(told.root())).toBe(hex(pagesRoot(larger, sha256)))
    }
  })
})

test('a leaf has its tag before it, however long it is', () => {
  for (const lengthBytes of [0, 31, 32, 33, PAGE_BYTES, PAGE_BYTES + 1, 5, 3 * PAGE_BYTES]) {
    const data = new Uint8Array(lengthBytes).fill(lengthBytes)
    expect(hex(hash.leaf(data))).toBe(hex(sha256(concat(utf8('reprise/batch/leaf\0'), data))))
  }
})

test('places that no tree has are refused', () => {
  const tree = new HashTree(hash)
  tree.resize(3)
  for (const [i, leaf] of leavesOf(3).entries()) tree.setLeaf(i, leaf)
  const [leaf] = leavesOf(1)
  expect(() => tree.setLeaf(3, leaf)).toThrow(RangeError)
  const path = inclusionPath(hash, leavesOf(2), 0)
  for (const index of [-1, 0.5, 2, Number.NaN])
    expect(rootFromPath(hash, { leaf, index, leafCount: 2, path })).toBeUndefined()
})
