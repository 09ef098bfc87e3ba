import { randomBytes } from 'node:crypto'
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { concat } from '@reprise/core'
import { describe, expect, test } from 'vitest'
import { deflate } from './deflate.ts'

async function whole(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const chunk of chunks) parts.push(chunk)
  return concat(...parts)
}

describe('deflate', () => {
  test('gives what zlib gives of the whole, however large it is and in whatever pieces it comes', async () => {
    for (const lengthBytes of [0, 1, 5000, (1 << 17) - 1, 1 << 17, (1 << 17) + 1, 1 << 20]) {
      const bytes = concat(randomBytes(lengthBytes >> 1), new Uint8Array(lengthBytes - (lengthBytes >> 1)))
      const pieces = Array.from({ length: Math.ceil(lengthBytes / 3000) }, (_, i) =>
        bytes.subarray(3000 * i, 3000 * (i + 1)),
      )
      const deflated = await whole(deflate(pieces))
      expect(inflateRawSync(deflated).equals(bytes)).toBe(true)
      expect(deflated.length).toBeLessThanOrEqual(deflateRawSync(bytes).length + 64)
    }
  })

  test('takes small pieces that are valid until the next one', async () => {
    async function* reused(): AsyncGenerator<Uint8Array> {
      const piece = new Uint8Array(1000)
      for (let i = 0; i < 100; i++) yield piece.fill(i)
    }
    const bytes = inflateRawSync(await whole(deflate(reused())))
    expect(Array.from({ length: 100 }, (_, i) => bytes[1000 * i])).toEqual(Array.from({ length: 100 }, (_, i) => i))
  })

  test('passes on what its source throws, early and late, and closes it when it is left', async () => {
    let isClosed = false
    async function* source(count: number): AsyncGenerator<Uint8Array> {
      try {
        for (let i = 0; i < count; i++) yield randomBytes(1 << 16)
        throw new Error('no more')
      } finally {
        isClosed = true
      }
    }
    await expect(whole(deflate(source(1)))).rejects.toThrow('no more')
    await expect(whole(deflate(source(9)))).rejects.toThrow('no more')
    isClosed = false
    for await (const _ of deflate(source(1000))) break
    expect(isClosed).toBe(true)
  })
})
