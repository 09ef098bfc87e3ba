import { mkdir, readFile, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { hex, utf8 } from '@reprise/core'
import { readTar } from '@reprise/wasm'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { nodeCrypto } from '../crypto.ts'
import { filesOfFolder, writeArchive } from './archive.ts'
import { folderForTest, put, removeFolders } from './testing.ts'

afterAll(removeFolders)

async function packed(files: Readonly<Record<string, Uint8Array>>): Promise<Uint8Array> {
  const path = join(await folderForTest(), 'archive')
  await writeArchive(
    Object.entries(files).map(([name, bytes]) => ({ path: name, bytes: async () => bytes })),
    path,
  )
  return new Uint8Array(await readFile(path))
}

describe('writeArchive', () => {
  // The digest is of what Python's tarfile makes (ustar, mode 0644, nothing else), in stored blocks.
  test('gives the bytes that spec/runtime.md describes', async () => {
    const bytes = await packed({ 'a/b.txt': utf8('hello\n') })
    expect(hex(bytes.subarray(0, 15))).toBe('1f8b08000000000000ff010008fff7')
    expect(hex(nodeCrypto.sha256(bytes))).toBe('f52dcc958b84210a86530251a40e77014ce4cf3a6e437f6baddacb49ef0b5ba5')
  })

  test('is read by gzip and by the reader of mounts, whatever the files', async () => {
    const name = fc.stringMatching(/^[a-zé]{1,60}$/)
    const path = fc.array(name, { minLength: 1, maxLength: 6 }).map((names) => names.join('/'))
    const files = fc.dictionary(path, fc.uint8Array({ maxLength: 70_000 }), { maxKeys: 5 })
    await fc.assert(
      fc.asyncProperty(files, async (wanted) => {
        const found = readTar(gunzipSync(await packed(wanted)))
        expect(found.map((file) => [file.path, hex(nodeCrypto.sha256(file.bytes))])).toEqual(
          Object.entries(wanted).map(([each, bytes]) => [each, hex(nodeCrypto.sha256(bytes))]),
        )
      }),
      { numRuns: 40 },
    )
  })
})

describe('filesOfFolder', () => {
  test('takes files in the order of their bytes, without times and folders', async () => {
    const [one, other] = [await folderForTest(), await folderForTest()]
    for (const name of ['b', 'a/c', 'a.b', 'é']) await put(join(one, name), name)
    for (const name of ['é', 'a.b', 'a/c', 'b']) await put(join(other, name), name)
    await mkdir(join(other, 'empty'))
    await utimes(join(other, 'b'), 1, 1)
    const paths = (await filesOfFolder(one)).map(({ path }) => path)
    expect(paths).toEqual(['a.b', 'a/c', 'b', 'é'])
    for (const folder of [one, other]) await writeArchive(await filesOfFolder(folder), join(folder, '.archive'))
    expect(await readFile(join(one, '.archive'))).toEqual(await readFile(join(other, '.archive')))
  })

  test('refuses links', async () => {
    const folder = await folderForTest()
    await writeFile(join(folder, 'file'), '')
    await symlink('file', join(folder, 'link'))
    await expect(filesOfFolder(folder)).rejects.toMatchObject({ code: 'RUNTIME_BUILD' })
  })
})
