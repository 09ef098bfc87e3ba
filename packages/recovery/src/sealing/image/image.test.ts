/** Images: what was put in comes out, and nothing that anybody changed. */

import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { concat, hex } from '@reprise/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Secret } from '../secret.ts'
import { discard } from './chunks.ts'
import { person } from '../testing.ts'
import type { ImageManifest } from './manifest.ts'
import { decryptImage, type ImageSource, openImage } from './open-image.ts'
import { sealImage, type SealImageRequest } from './seal-image.ts'

const CHUNK = 1 << 16
const builder = person()
const about = { name: 'recovery', version: 7, roster: 3, approvals: 1, services: ['etcd', 'web'] }
const floors = { version: 7, roster: 3, approvals: 1 }
const trust = { signers: [builder.point], floors }

let folder: string
let key: Secret
let payload: Uint8Array
let image: Uint8Array
let manifest: ImageManifest

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'reprise-image-'))
  key = Secret.random(32)
  payload = content(3 * CHUNK + 1000)
  ;({ image, manifest } = await seal(payload))
})
afterAll(() => rmSync(folder, { recursive: true }))

/** Bytes that are different at every place. */
function content(lengthBytes: number): Uint8Array {
  return Uint8Array.from({ length: lengthBytes }, (_, i) => (i * 31 + (i >> 8) * 7 + (i >> 16)) & 0xff)
}

async function seal(
  bytes: Uint8Array,
  change: Partial<SealImageRequest> = {},
): Promise<{ image: Uint8Array; manifest: ImageManifest }> {
  const [plain, target] = [join(folder, 'plain'), join(folder, 'image')]
  writeFileSync(plain, bytes)
  const sign = (message: Uint8Array): Uint8Array => builder.sign(message).signature
  const sealed = await sealImage({
    payload: plain,
    target,
    kind: 'bytes',
    key,
    about,
    sign,
    chunkBytes: CHUNK,
    ...change,
  })
  return { image: new Uint8Array(readFileSync(target)), manifest: sealed }
}

function sourceOf(bytes: Uint8Array): ImageSource {
  return {
    where: 'recovery.image',
    sizeBytes: bytes.length,
    // In pieces, as a disk may.
    read: async (target, position) => {
      const piece = bytes.subarray(position, position + Math.min(target.length, 50_000))
      target.set(piece)
      return piece.length
    },
  }
}

async function read(bytes: Uint8Array, using_ = key, by = trust): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const part of decryptImage(await openImage(sourceOf(bytes), by), using_)) parts.push(part.slice())
  return concat(...parts)
}

describe('an image', () => {
  test.each([1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK, 16 * CHUNK, 16 * CHUNK + 1, 33 * CHUNK - 5])(
    'of %i bytes comes out as it went in',
    async (lengthBytes) => {
      const bytes = content(lengthBytes)
      const sealed = await seal(bytes)
      expect(hex(await read(sealed.image)) === hex(bytes)).toBe(true)
      expect(hex(sealed.manifest.payload.sha256)).toBe(createHash('sha256').update(bytes).digest('hex'))
    },
  )

  test('is whole or not there, and an empty payload makes none', async () => {
    await expect(seal(new Uint8Array())).rejects.toMatchObject({ code: 'IMAGE' })
    const target = join(folder, 'never')
    const sign = (): never => {
      throw new Error('no key')
    }
    await expect(seal(payload, { target, sign })).rejects.toThrow('no key')
    expect(existsSync(target)).toBe(false)
    expect(readdirSync(folder).filter((name) => name.endsWith('.unfinished'))).toEqual([])
  })

  test('has nothing of its payload in it', () => {
    const text = Buffer.from(image)
    for (const at of [0, CHUNK, 2 * CHUNK]) expect(text.includes(payload.subarray(at, at + 24))).toBe(false)
  })
})

test('large chunks come out as well', async () => {
  const bytes = content((1 << 21) + 5)
  expect(hex(await read((await seal(bytes, { chunkBytes: 1 << 20 })).image)) === hex(bytes)).toBe(true)
})

describe('is refused, saying what and where', () => {
  const start = (): number => image.length - payload.length - 4 * 16
  const refusal = async (bytes: Uint8Array): Promise<string> => {
    try {
      await read(bytes)
      return 'taken'
    } catch (error) {
      return (error as Error).message
    }
  }

  test('a chunk that was changed', async () => {
    const changed = image.with(start() + CHUNK + 16 + 5, image[start() + CHUNK + 16 + 5] ^ 1)
    expect(await refusal(changed)).toMatch(
      /^recovery\.image: chunk 1 of 4 has the digest [0-9a-f]{16}…, the manifest's table says [0-9a-f]{16}…\.$/,
    )
  })

  test('chunks that were exchanged, and one of another version', async () => {
    const one = CHUNK + 16
    const swapped = image.slice()
    swapped.set(image.subarray(start(), start() + one), start() + one)
    swapped.set(image.subarray(start() + one, start() + 2 * one), start())
    expect(await refusal(swapped)).toMatch(/chunk 0 of 4 has the digest/)
    const other = await seal(content(payload.length), { about: { ...about, version: 8 } })
    const mixed = image.slice()
    mixed.set(other.image.subarray(other.image.length - 1000 - 16), image.length - 1000 - 16)
    expect(await refusal(mixed)).toMatch(/chunk 3 of 4 has the digest/)
  })

  test('a table, an end and a length that are not those that were signed', async () => {
    expect(await refusal(image.with(start() - 1, image[start() - 1] ^ 1))).toMatch(/its chunks have the root/)
    expect(await refusal(image.subarray(0, -1))).toMatch(/it has \d+ bytes, and should have \d+/)
    expect(await refusal(image.subarray(0, start() - 10))).toMatch(/it ends at byte \d+, where 10 more are expected/)
    expect(await refusal(concat(image, Uint8Array.of(0)))).toMatch(/it has \d+ bytes/)
    expect(await refusal(image.subarray(0, 10))).toMatch(/it ends at byte 10/)
    expect(await refusal(new Uint8Array(1000))).toMatch(/does not begin like an image/)
  })

  test('any byte of it that was changed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(image.length - 1), fc.integer({ min: 1, max: 255 }), async (at, by) => {
        expect(await refusal(image.with(at, image[at] ^ by))).not.toBe('taken')
      }),
      { numRuns: 60 },
    )
    for (let at = 0; at < start(); at += 13) expect(await refusal(image.with(at, image[at] ^ 0x20))).not.toBe('taken')
  })

  test('what somebody with the key, but not the signature, has encrypted', async () => {
    const thief = person()
    const forged = await seal(payload, { sign: (message) => thief.sign(message).signature })
    await expect(read(forged.image)).rejects.toMatchObject({
      code: 'IMAGE',
      message: expect.stringContaining('signed by none of the 1 keys') as string,
    })
    // The true manifest over chunks that are encrypted anew with the true key.
    const anew = await seal(payload.with(CHUNK, payload[CHUNK] ^ 1))
    expect(await refusal(concat(image.subarray(0, start()), anew.image.subarray(start())))).toMatch(/chunk 1 of 4/)
  })

  test('an older image, an older roster, older approvals', async () => {
    for (const number of ['version', 'roster', 'approvals'] as const) {
      const risen = { ...floors, [number]: floors[number] + 1 }
      await expect(read(image, key, { ...trust, floors: risen })).rejects.toMatchObject({
        code: 'IMAGE_OLD',
        data: { number, is: floors[number], floor: floors[number] + 1 },
      })
    }
  })

  test('another key', async () => {
    using other = Secret.random(32)
    await expect(read(image, other)).rejects.toMatchObject({ code: 'CONTENT_KEY' })
  })
})

test('a chunk is taken away when the next one is asked for, and stopping early leaves nothing open', async () => {
  const open = await openImage(sourceOf(image), trust)
  const chunks = decryptImage(open, key)
  const first = (await chunks.next()).value as Uint8Array
  expect(hex(first.subarray(0, 8))).toBe(hex(payload.subarray(0, 8)))
  await chunks.next()
  expect(first.length).toBe(0)
  await chunks.return()
  expect(manifest.payload.chunkBytes).toBe(CHUNK)
})

test('what is taken away is wiped before, and nothing beside it', () => {
  const shared = new Uint8Array(8).fill(7)
  discard(shared.subarray(2, 6))
  expect([...shared]).toEqual([7, 7, 0, 0, 0, 0, 7, 7])
  const own = new Uint8Array(8)
  discard(own)
  expect(own.length).toBe(0)
})
