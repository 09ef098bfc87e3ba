import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { openBlobStore } from '../blobs/index.ts'
import { openPlace } from './index.ts'

async function storeForTest() {
  const home = await mkdtemp(join(tmpdir(), 'reprise-places-'))
  onTestFinished(() => rm(home, { force: true, recursive: true }))
  return { folder: join(home, 'blobs'), store: await openBlobStore(home) }
}

test('another store gives what it keeps compressed, and nothing that is damaged or of another length', async () => {
  const [there, here] = [await storeForTest(), await storeForTest()]
  const ref = await there.store.putBytes(new Uint8Array(100_000).fill(7))
  const place = await openPlace(there.folder, there.folder)
  const { path = '' } = (await there.store.find(ref.sha256)) ?? {}
  expect(path).toMatch(/\.zst$/)
  expect(await place.bring({ ...ref, lengthBytes: 99_999 }, here.store, {})).toContain('100000 bytes, not 99999')
  const whole = await readFile(path)
  await chmod(path, 0o600)
  await writeFile(path, whole.subarray(0, -1))
  expect(await place.bring(ref, here.store, {})).toBe(`${path} holds other bytes`)
  expect(await here.store.has(ref.sha256)).toBe(false)
  await writeFile(path, whole)
  expect(await place.bring(ref, here.store, {})).toBe(true)
  expect((await here.store.read(ref.sha256)).length).toBe(100_000)
})
