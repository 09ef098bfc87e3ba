import { chmod, mkdtemp, readdir, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { temporaryName } from '../durable.ts'
import { runnerFolders } from '../home.ts'
import { openBlobStore, refOf } from './index.ts'

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
