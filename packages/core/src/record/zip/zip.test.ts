import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { crc32 as zlibCrc32, deflateRawSync } from 'node:zlib'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { concat, utf8 } from '../../bytes/index.ts'
import type { EvidenceError } from '../../error.ts'
import { deflate, inflate } from './deflate.ts'
import { bytesSource, crc32, openZip, writeZip, ZIP_BYTES_MAX, type ZipInput, type ZipSource } from './index.ts'

const folder = resolve(import.meta.dirname, '../../../../../vectors/zip')

async function collected(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const chunk of chunks) parts.push(chunk)
  return concat(...parts)
}

const write = (inputs: readonly ZipInput[]): Promise<Uint8Array> => collected(writeZip(inputs))

const input = (name: string, content: Uint8Array, method: ZipInput['method'] = 'smaller'): ZipInput => ({
  name,
  method,
  open: () => [content],
})

async function contents(source: ZipSource): Promise<[string, Uint8Array][]> {
  const entries = await openZip(source)
  return Promise.all(entries.map(async (entry) => [entry.name, await entry.bytes(ZIP_BYTES_MAX)]))
}

describe('openZip', () => {
  test.each(readdirSync(folder).filter((name) => name !== 'README.md'))('answers as it should to %s', async (name) => {
    const bytes = readFileSync(join(folder, name, 'input.zip'))
    const answer = await contents(bytesSource(bytes)).then(
      (entries) => ({
        entries: entries.map(([name, content]) => ({
          name,
          lengthBytes: content.length,
          crc32: crc32(content).toString(16).padStart(8, '0'),
        })),
      }),
      (error: unknown) => ({ error: (error as EvidenceError).code }),
    )
    expect(answer).toEqual(JSON.parse(readFileSync(join(folder, name, 'expected.json'), 'utf8')))
  })

  test('reads no entry above the limit of its reader', async () => {
    const [entry] = await openZip(bytesSource(await write([input('a', new Uint8Array(1000))])))
    await expect(entry.bytes(999)).rejects.toMatchObject({ code: 'LIMIT' })
    expect((await entry.bytes(1000)).length).toBe(1000)
  })

  test('inflates an entry no further than its header says', async () => {
    const bytes = Buffer.from(await write([input('a', new Uint8Array(20_000_000), 'deflated')]))
    // Both headers say 10 bytes.
    bytes.writeUInt32LE(10, 22)
    bytes.writeUInt32LE(10, bytes.readUInt32LE(bytes.length - 6) + 24)
    let readBytes = 0
    const source = bytesSource(bytes)
    const [entry] = await openZip(source)
    const read = async (): Promise<void> => {
      for await (const chunk of entry.chunks()) readBytes += chunk.length
    }
    await expect(read()).rejects.toMatchObject({ code: 'CONTAINER' })
    expect(readBytes).toBe(0)
  })

  test('passes on what its source throws, as it is', async () => {
    const bytes = await write([input('a', new Uint8Array(1 << 20), 'deflated')])
    const lost = new Error('the disk is gone')
    let reads = 0
    const source: ZipSource = {
      lengthBytes: bytes.length,
      read: (offset, lengthBytes) =>
        ++reads > 3 ? Promise.reject(lost) : Promise.resolve(bytes.subarray(offset, offset + lengthBytes)),
    }
    const [entry] = await openZip(source)
    await expect(entry.bytes(1 << 20)).rejects.toBe(lost)
  })

  test('refuses a central directory larger than its entries can make it, before it reads it', async () => {
    const end = Buffer.alloc(22)
    end.writeUInt32LE(0x06054b50, 0)
    end.writeUInt32LE(0xf000_0000, 12)
    const source: ZipSource = {
      lengthBytes: 0xf000_0000 + 22,
      read: (_offset, lengthBytes) => Promise.resolve(lengthBytes === 22 ? end : expect.fail('it was read')),
    }
    await expect(openZip(source)).rejects.toMatchObject({ code: 'CONTAINER' })
  })
})

describe('writeZip', () => {
  test('writes what openZip reads', async () => {
    const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
    const entries = fc.uniqueArray(fc.tuple(name, fc.uint8Array({ maxLength: 2000 }), fc.boolean()), {
      selector: ([name]) => name,
      maxLength: 6,
    })
    await fc.assert(
      fc.asyncProperty(entries, async (entries) => {
        const bytes = await write(
          entries.map(([name, content, all]) => input(name, content, all ? 'deflated' : 'smaller')),
        )
        expect(await contents(bytesSource(bytes))).toEqual(
          entries.map(([name, content]) => [name, Uint8Array.from(content)]),
        )
      }),
      { numRuns: 60 },
    )
  })

  test('stores what deflate does not make smaller, unless it is told to deflate', async () => {
    const method = async (content: Uint8Array, method: ZipInput['method']): Promise<number> =>
      (await write([input('a', content, method)]))[8]
    expect(await method(utf8('x'), 'smaller')).toBe(0)
    expect(await method(utf8('x'), 'deflated')).toBe(8)
    expect(await method(new Uint8Array(1000), 'smaller')).toBe(8)
  })

  test('holds a large entry in pieces only', async () => {
    const piece = randomBytes(1 << 20)
    let opened = 0
    function* pieces(): Generator<Uint8Array> {
      opened++
      for (let i = 0; i < 17; i++) yield piece
    }
    let longest = 0
    for await (const chunk of writeZip([{ name: 'a', method: 'smaller', open: pieces }]))
      longest = Math.max(longest, chunk.length)
    expect(opened).toBe(2)
    expect(longest).toBe(1 << 20)
  })

  test('refuses names that are empty or too long', async () => {
    await expect(write([input('', new Uint8Array())])).rejects.toMatchObject({ code: 'LIMIT' })
    await expect(write([input('é'.repeat(129), new Uint8Array())])).rejects.toMatchObject({ code: 'LIMIT' })
  })

  test('passes on what an entry throws', async () => {
    const lost = new Error('the disk is gone')
    const open = (): Iterable<Uint8Array> => {
      throw lost
    }
    await expect(write([{ name: 'a', method: 'deflated', open }])).rejects.toBe(lost)
  })
})

describe('inflate', () => {
  test('gives back what deflate was given', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 500 }), { maxLength: 5 }), async (chunks) => {
        expect(await collected(inflate(deflate(chunks)))).toEqual(concat(...chunks))
      }),
      { numRuns: 50 },
    )
  })

  test('refuses a stream that ends early or late', async () => {
    const whole = deflateRawSync('what it says')
    for (const bytes of [whole.subarray(0, -1), Buffer.concat([whole, Buffer.alloc(1)]), Buffer.alloc(0)])
      await expect(collected(inflate([bytes]))).rejects.toMatchObject({ code: 'CONTAINER' })
  })

  test('can be left before its end, and closes what it reads from', async () => {
    let closed = false
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield deflateRawSync(Buffer.alloc(1 << 22)).subarray(0, 2000)
      } finally {
        closed = true
      }
    }
    for await (const chunk of inflate(source())) {
      expect(chunk.length).toBeGreaterThan(0)
      break
    }
    expect(closed).toBe(true)
  })
})

describe('crc32', () => {
  test('is the one of zlib, in one piece and in two', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.uint8Array({ maxLength: 100 }), (a, b) => {
        expect(crc32(concat(a, b))).toBe(zlibCrc32(Buffer.concat([a, b])))
        expect(crc32(b, crc32(a))).toBe(crc32(concat(a, b)))
      }),
    )
  })
})
