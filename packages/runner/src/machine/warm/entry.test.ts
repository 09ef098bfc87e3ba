import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hex, PAGE_BYTES, pagesRoot, PageTree } from '@reprise/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { nodeCrypto } from '../../crypto.ts'
import { encodeWarmEntry, isWhole, keptStack, readWarmEntry, readWarmHead, warmEntry, warmStack } from './entry.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reprise-entry-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const memory = new Uint8Array(16 * PAGE_BYTES)
memory.set([1, 2, 3], 5 * PAGE_BYTES)
memory.fill(7, 8 * PAGE_BYTES, 10 * PAGE_BYTES)

const warmedUp = {
  activations: { phase: 'command', frames: [{ function: 3, site: 1, values: [{ type: 'i64', bits: 2n ** 63n }] }] },
  globals: [{ type: 'i32', bits: 0xffff_ffffn }],
  hostState: Uint8Array.of(1, 2, 3),
  memory,
  continuations: [
    {
      frame: { function: 3, site: 1 },
      bytes: Uint8Array.of(9, 8, 7),
      order: [0],
      takesSlots: false,
      referenced: [],
      values: [{ type: 'i64', free: false, place: { kind: 'i64', slot: 0 } }],
      slots: 4,
      functions: [1, 2],
      layout: { grow: 5, refill: 6 },
      call: { function: 7 },
    },
  ],
} as const

describe('an entry of the cache', () => {
  test('holds all that a machine begins with', async () => {
    const path = join(folder, 'whole')
    const made = warmEntry(warmedUp)
    await writeFile(path, encodeWarmEntry(made))
    const read = await readWarmEntry(path)
    if (read === undefined) throw new Error('it is whole')
    expect(await readWarmHead(path)).toEqual(read.head)
    expect(read.head.pages).toEqual([
      [5, 1],
      [8, 2],
    ])
    const unpacked = new Uint8Array(read.head.memoryBytes)
    await read.unpack(unpacked)
    expect(unpacked).toEqual(memory)
    const shared = new Uint8Array(new SharedArrayBuffer(read.head.memoryBytes))
    await made.unpack(shared)
    expect(shared.slice()).toEqual(memory)
    shared.fill(0)
    await read.unpack(shared)
    expect(shared.slice()).toEqual(memory)
    expect(isWhole(read, shared)).toBe(true)
    const tree = new PageTree(nodeCrypto.sha256)
    tree.takeOver(read.head.memoryBytes, read.digests)
    expect(hex(tree.root())).toBe(read.head.memoryRoot)
    expect(read.head.memoryRoot).toBe(hex(pagesRoot(memory, nodeCrypto.sha256)))
    const stack = warmStack(read)
    expect(stack.globals).toEqual(warmedUp.globals)
    expect(keptStack(stack).activations).toEqual(warmedUp.activations)
    expect(stack.continuations).toEqual(warmedUp.continuations)
  })

  test('is none when its head or its modules are damaged anywhere, or it is cut; and not whole when its pages are', async () => {
    const made = warmEntry(warmedUp)
    const whole = encodeWarmEntry(made)
    const path = join(folder, 'damaged')
    const pagesEnd = whole.length - 3
    const pagesAt = pagesEnd - 3 * PAGE_BYTES
    const digestsAt = pagesAt - made.digests.length
    for (let at = 0; at < whole.length; at += at > digestsAt && at < pagesEnd - 200 ? 97 : 1) {
      const damaged = whole.slice()
      damaged[at] ^= 0x10
      await writeFile(path, damaged)
      const read = await readWarmEntry(path)
      if (read === undefined) {
        expect([at, at < digestsAt || at >= pagesEnd]).toEqual([at, true])
        continue
      }
      const unpacked = new Uint8Array(read.head.memoryBytes)
      await read.unpack(unpacked)
      expect([at, at >= digestsAt && at < pagesEnd, isWhole(read, unpacked)]).toEqual([at, true, false])
    }
    for (const length of [0, 10, 35, 36, pagesAt, pagesEnd, whole.length - 1]) {
      await writeFile(path, whole.subarray(0, length))
      expect(await readWarmEntry(path)).toBeUndefined()
    }
    expect(await readWarmEntry(join(folder, 'nothing'))).toBeUndefined()
    expect(await readWarmHead(join(folder, 'nothing'))).toBeUndefined()
  })
})
