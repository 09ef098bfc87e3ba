import { hash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PAGE_BYTES, type BlobRef, type PageRun } from '@reprise/core'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openBlobStore, type BlobStore } from '../blobs/index.ts'
import { checkPacks, fillShadow } from './restore.ts'

let home: string
let store: BlobStore
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'reprise-restore-'))
  store = await openBlobStore(home)
})
afterEach(() => rm(home, { recursive: true, force: true }))

/** Pages that differ, one from another and in themselves. */
function pack(pages: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(pages * PAGE_BYTES)
  for (let i = 0; i < bytes.length; i += 8) bytes[i] = (i / 8 + (i >> 12) * 7 + seed) & 0xff
  return bytes
}

async function packsOf(packs: readonly Uint8Array[], pages: readonly PageRun[], memoryPages: number) {
  const refs = await store.putAll(packs)
  const nothing: BlobRef = { lengthBytes: 0, sha256: hash('sha256', '') }
  const manifest = {
    schema: 'reprise/snapshot/v1' as const,
    contents: [],
    frames: nothing,
    globals: [],
    host: nothing,
    memoryBytes: memoryPages * PAGE_BYTES,
    packs: refs,
    pages,
    phase: 'main' as const,
    position: '1',
  }
  return { manifest, blobs: Object.fromEntries(refs.map(({ sha256 }) => [sha256, store.path(sha256)])) }
}

describe('the memory of a snapshot', () => {
  test('comes from packs in pieces, pages in any order and more than once, and what is told is what is there', async () => {
    const [large, small] = [pack(700, 1), pack(3, 2)]
    const pages: PageRun[] = [
      [1, 1, 1, 2],
      [4, 600, 0, 90],
      [610, 2, 0, 0],
      [615, 300, 0, 250],
      [920, 1, 1, 0],
    ]
    const packs = await packsOf([large, small], pages, 1024)
    const expected = new Uint8Array(packs.manifest.memoryBytes)
    for (const [first, count, index, inPack] of pages)
      expected.set(
        [large, small][index].subarray(inPack * PAGE_BYTES, (inPack + count) * PAGE_BYTES),
        first * PAGE_BYTES,
      )
    const shadow = new Uint8Array(packs.manifest.memoryBytes)
    const guest = new Uint8Array(packs.manifest.memoryBytes)
    await fillShadow(packs, shadow, (ranges) => {
      for (const [offset, lengthBytes] of ranges) guest.set(shadow.subarray(offset, offset + lengthBytes), offset)
    })
    expect(Buffer.compare(shadow, expected)).toBe(0)
    expect(Buffer.compare(guest, expected)).toBe(0)
    await checkPacks(packs)
  })

  test('names a pack of another length, and one of other bytes', async () => {
    const packs = await packsOf(
      [pack(2, 1), pack(2, 2)],
      [
        [0, 2, 0, 0],
        [2, 2, 1, 0],
      ],
      16,
    )
    const [first, second] = packs.manifest.packs
    const shadow = new Uint8Array(packs.manifest.memoryBytes)
    const longer = { ...packs, manifest: { ...packs.manifest, packs: [{ ...first, lengthBytes: 1 }, second] } }
    await expect(fillShadow(longer, shadow, () => {})).rejects.toMatchObject({ code: 'BLOB_CORRUPT' })
    const other = { ...packs, blobs: { ...packs.blobs, [second.sha256]: store.path(first.sha256) } }
    await fillShadow(other, shadow, () => {})
    await expect(checkPacks(other)).rejects.toMatchObject({ code: 'BLOB_CORRUPT', data: { sha256: second.sha256 } })
  })
})
