import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, readdir, readFile, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { temporaryName } from '../durable.ts'
import { runnerFolders } from '../home.ts'
import { COMPRESSED } from './compressed.ts'
import { openBlobStore, readBlobSync, refOf, type BlobStore } from './index.ts'

async function homeForTest(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'reprise-store-'))
  onTestFinished(() => rm(folder, { force: true, recursive: true }))
  return folder
}
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

async function streamed(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  let text = ''
  for await (const chunk of chunks) text += Buffer.from(chunk).toString('latin1')
  return text
}

describe('the blob store', () => {
  test('gives back what was put, as bytes and as a stream, from bytes and from files small and large', async () => {
    const home = await homeForTest()
    const store = await openBlobStore(home)
    const large = new Uint8Array(3 << 20).map((_, index) => index % 251)
    await writeFile(join(home, 'large'), large)
    await writeFile(join(home, 'small'), 'abc')
    const refs = await store.putAll([bytesOf('hello'), join(home, 'small'), join(home, 'large'), new Uint8Array()])
    expect(refs).toEqual([refOf(bytesOf('hello')), refOf(bytesOf('abc')), refOf(large), refOf(new Uint8Array())])
    expect(await store.has(refs[0].sha256)).toBe(true)
    expect(Buffer.from(await store.read(refs[0].sha256)).toString()).toBe('hello')
    expect(Buffer.compare(await store.read(refs[2].sha256), large)).toBe(0)
    expect(await streamed(store.stream(refs[2].sha256))).toBe(Buffer.from(large).toString('latin1'))
  })

  test('keeps files that nobody may write, in folders that nobody else may read', async () => {
    const home = await homeForTest()
    const store = await openBlobStore(home)
    await writeFile(join(home, 'large'), new Uint8Array(2 << 20), { mode: 0o777 })
    for (const { sha256 } of await store.putAll([bytesOf('x'), join(home, 'large')])) {
      expect((await stat(store.path(sha256))).mode & 0o777).toBe(0o400)
    }
    expect((await stat(runnerFolders(home).blobs)).mode & 0o777).toBe(0o700)
  })

  test('writes nothing for what it holds', async () => {
    const home = await homeForTest()
    const store = await openBlobStore(home)
    const { sha256 } = await store.putBytes(bytesOf('once'))
    const first = await stat(store.path(sha256))
    await writeFile(join(home, 'twice'), 'once')
    await store.putAll([bytesOf('once'), join(home, 'twice')])
    const second = await stat(store.path(sha256))
    expect([second.ino, second.ctimeMs]).toEqual([first.ino, first.ctimeMs])
  })

  test('takes the same bytes from many at once', async () => {
    const store = await openBlobStore(await homeForTest())
    const refs = await store.putAll(Array.from({ length: 40 }, (_, index) => bytesOf(`${index % 3}`)))
    expect(new Set(refs.map(({ sha256 }) => sha256)).size).toBe(3)
    for (const { sha256 } of refs) expect((await store.read(sha256)).length).toBe(1)
  })

  test('says which file holds other bytes than its name promises, and replaces one of another length', async () => {
    const store = await openBlobStore(await homeForTest())
    const { sha256 } = await store.putBytes(bytesOf('right'))
    await chmod(store.path(sha256), 0o600)
    await writeFile(store.path(sha256), 'wrong')
    await expect(store.read(sha256)).rejects.toMatchObject({ code: 'BLOB_CORRUPT', data: { path: store.path(sha256) } })
    await expect(streamed(store.stream(sha256))).rejects.toMatchObject({ code: 'BLOB_CORRUPT' })
    await truncate(store.path(sha256), 2)
    await store.putBytes(bytesOf('right'))
    expect(Buffer.from(await store.read(sha256)).toString()).toBe('right')
  })

  test('names a blob that it does not have', async () => {
    const store = await openBlobStore(await homeForTest())
    const sha256 = '0'.repeat(64)
    expect(await store.has(sha256)).toBe(false)
    await expect(store.read(sha256)).rejects.toMatchObject({ code: 'BLOB_MISSING', kind: 'unknown' })
    await expect(streamed(store.stream(sha256))).rejects.toMatchObject({ code: 'BLOB_MISSING' })
  })

  test('names a file that is not there or no file', async () => {
    const home = await homeForTest()
    const store = await openBlobStore(home)
    await expect(store.putFile(join(home, 'nowhere'))).rejects.toMatchObject({ code: 'INPUT_MISSING', kind: 'input' })
    await expect(store.putFile(home)).rejects.toMatchObject({ code: 'INPUT_UNREADABLE' })
    expect((await readdir(runnerFolders(home).blobs)).length).toBe(0)
  })

  test('removes temporary files a day after they were abandoned, not those that somebody is writing', async () => {
    const home = await homeForTest()
    await openBlobStore(home)
    const { blobs } = runnerFolders(home)
    const [old, fresh] = [temporaryName(blobs), temporaryName(blobs)]
    await writeFile(old, 'half')
    await writeFile(fresh, 'half')
    await utimes(old, 1000, 1000)
    await openBlobStore(home)
    expect(await readdir(blobs)).toEqual([fresh.slice(blobs.length + 1)])
  })
})

/** As much as its length, and as many different bytes as `variety`: 256 cannot be compressed. */
function someBytes(lengthBytes: number, variety: number): Uint8Array {
  return randomBytes(lengthBytes).map((byte) => byte % variety)
}

async function replace(path: string, bytes: Uint8Array): Promise<void> {
  await chmod(path, 0o600)
  await writeFile(path, bytes)
}

describe('what is kept compressed', () => {
  let store: BlobStore
  beforeEach(async () => void (store = await openBlobStore(await homeForTest())))
  const smallPath = (sha256: string): string => store.path(sha256) + COMPRESSED

  test('are bytes that get smaller by it; files, and what does not, are kept plain', async () => {
    const home = await homeForTest()
    store = await openBlobStore(home)
    await writeFile(join(home, 'file'), new Uint8Array(100_000).fill(3))
    const refs = await store.putAll([
      new Uint8Array(100_000),
      someBytes(3 << 20, 16),
      someBytes(100_000, 256),
      someBytes(3 << 20, 256),
      new Uint8Array(4096),
      join(home, 'file'),
    ])
    const kept = await Promise.all(refs.map(({ sha256 }) => store.find(sha256)))
    expect(kept.map((blob) => blob?.path.endsWith(COMPRESSED))).toEqual([true, true, false, false, false, false])
    expect(kept.map((blob) => blob?.lengthBytes)).toEqual(refs.map(({ lengthBytes }) => lengthBytes))
    expect(kept[1]?.storedBytes).toBeLessThan(2 << 20)
    expect((await stat(smallPath(refs[1].sha256))).mode & 0o777).toBe(0o400)
  })

  test('is given back whichever way it is kept, by each way of reading', async () => {
    const sizes = fc.oneof(fc.integer({ min: 0, max: 200_000 }), fc.constantFrom(4096, 4097, 131_072, 131_073, 5 << 20))
    await fc.assert(
      fc.asyncProperty(sizes, fc.integer({ min: 1, max: 256 }), async (lengthBytes, variety) => {
        const bytes = someBytes(lengthBytes, variety)
        const ref = await store.putBytes(bytes)
        expect(ref).toEqual(refOf(bytes))
        expect(Buffer.compare(await store.read(ref.sha256), bytes)).toBe(0)
        expect(Buffer.compare(Buffer.from(await streamed(store.stream(ref.sha256)), 'latin1'), bytes)).toBe(0)
        expect(Buffer.compare(readBlobSync(store.path(ref.sha256), ref.sha256), bytes)).toBe(0)
      }),
      { numRuns: process.env['REPRISE_TESTS'] === 'check' ? 15 : 60 },
    )
  })

  test('comes in pieces that are valid until the next one, whose memory they leave', async () => {
    const store = await openBlobStore(await homeForTest())
    const content = new Uint8Array(5_000_001).map((_, index) => (index >> 10) % 251)
    const { sha256 } = await store.putBytes(content)
    const pieces: Uint8Array[] = []
    const copies: Uint8Array[] = []
    for await (const piece of store.stream(sha256)) {
      pieces.push(piece)
      copies.push(piece.slice())
    }
    expect(Buffer.compare(Buffer.concat(copies), content)).toBe(0)
    expect(copies.length).toBeGreaterThan(5)
    // Fresh memory for each takes as long as inflating does.
    const left = pieces.filter((piece) => piece.length === 0)
    expect(left.length).toBeGreaterThan(pieces.length / 2)
  })

  test('is not stored once more, neither plain nor compressed', async () => {
    const bytes = new Uint8Array(50_000)
    const { sha256 } = await store.putBytes(bytes)
    const first = await stat(smallPath(sha256))
    const file = join(await homeForTest(), 'file')
    await writeFile(file, bytes)
    await store.putAll([bytes, file])
    const second = await stat(smallPath(sha256))
    expect([second.ino, second.ctimeMs]).toEqual([first.ino, first.ctimeMs])
    await expect(stat(store.path(sha256))).rejects.toThrow('ENOENT')
  })

  test('and damaged is never half-used: each way of reading names the file', async () => {
    const { sha256 } = await store.putBytes(someBytes(300_000, 16))
    const other = await store.putBytes(someBytes(300_000, 16))
    const path = smallPath(sha256)
    const whole = new Uint8Array(await readFile(path))
    const flipped = whole.map((byte, at) => (at === 100_000 ? byte ^ 1 : byte))
    const saysMore = whole.map((byte, at) => (at === 6 ? byte ^ 1 : byte))
    const damages = [
      whole.subarray(0, 4),
      whole.subarray(0, -1),
      new Uint8Array(),
      flipped,
      saysMore,
      new Uint8Array(await readFile(smallPath(other.sha256))),
      Buffer.concat([whole, whole]),
    ]
    for (const damage of damages) {
      await replace(path, damage)
      const corrupt = { code: 'BLOB_CORRUPT', data: { path, sha256 } }
      await expect(store.read(sha256)).rejects.toMatchObject(corrupt)
      await expect(streamed(store.stream(sha256))).rejects.toMatchObject(corrupt)
      expect(() => readBlobSync(store.path(sha256), sha256)).toThrow(expect.objectContaining(corrupt))
    }
  })

  test('and kept plain is checked too, unless whoever hands out its path has done so', async () => {
    const { sha256 } = await store.putBytes(someBytes(1000, 16))
    const path = store.path(sha256)
    const damaged = new Uint8Array(await readFile(path))
    damaged[0] ^= 1
    await replace(path, damaged)
    expect(() => readBlobSync(path, sha256)).toThrow(expect.objectContaining({ code: 'BLOB_CORRUPT' }))
    expect(Buffer.compare(readBlobSync(path, sha256, { trusted: true }), damaged)).toBe(0)
  })

  test('and cut before it says how long it is, is stored anew', async () => {
    const bytes = someBytes(300_000, 16)
    const { sha256 } = await store.putBytes(bytes)
    await chmod(smallPath(sha256), 0o600)
    await truncate(smallPath(sha256), 0)
    expect(await store.has(sha256)).toBe(false)
    await store.putBytes(bytes)
    expect(Buffer.compare(await store.read(sha256), bytes)).toBe(0)
  })

  test('and of a length that nobody reads, is refused before anything is decompressed', async () => {
    const { sha256 } = await store.putBytes(new Uint8Array(50_000))
    // Magic, a descriptor of an eight-byte length, a window, 2^40 bytes.
    await replace(smallPath(sha256), Buffer.from('28b52ffdc05000000000000100000000', 'hex'))
    await expect(store.read(sha256)).rejects.toMatchObject({ code: 'BLOB_CORRUPT' })
    expect(await store.find(sha256)).toBeUndefined()
  })
})
