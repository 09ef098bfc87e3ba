import { chmod, cp, open, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { canonical, utf8 } from '@reprise/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { digestFile } from '../durable.ts'
import { collectRuntimes, planRuntimeCollection } from './collect.ts'
import { decodeRuntimeManifest, encodeRuntimeManifest } from './manifest.ts'
import { findRuntime, installRuntime, listRuntimes, verifyRuntime, type InstalledRuntime } from './store.ts'
import { buildIn, folderForTest, putRecipe, removeFolders, roomForTest, type Room } from './testing.ts'
import { exportRuntime, importRuntime } from './transfer.ts'

afterAll(removeFolders)

let room: Room
let built: InstalledRuntime

beforeAll(async () => {
  room = await roomForTest()
  await putRecipe(room.recipes)
  built = (await buildIn(room)).runtime
})

async function changeByte(path: string, at: number): Promise<void> {
  await chmod(path, 0o600)
  await using file = await open(path, 'r+')
  const { buffer } = await file.read(new Uint8Array(1), 0, 1, at)
  await file.write(Uint8Array.of(buffer[0] ^ 1), 0, 1, at)
}

describe('findRuntime', () => {
  test('takes the highest version of a name, number by number', async () => {
    const home = await folderForTest()
    for (const version of ['3.9.1', '3.13.0', '3.11.2']) {
      const folder = join(home, 'runtimes', `.reprise-${version.length.toString(16).padStart(16, '0')}.tmp`)
      await copyParts(folder)
      await installRuntime(home, { ...built.manifest, version }, folder)
    }
    const found = await findRuntime(home, 'tiny')
    expect(found.manifest.version).toBe('3.13.0')
    expect((await findRuntime(home, found.id.slice(0, 8))).id).toBe(found.id)
    await expect(findRuntime(home, found.id.slice(0, 7))).rejects.toMatchObject({ code: 'RUNTIME_UNKNOWN' })
    await expect(findRuntime(home, 'python')).rejects.toMatchObject({
      hint: expect.stringContaining('there are: tiny'),
    })

    const plan = await planRuntimeCollection(home, { keepBuilds: true, nowMs: Date.now() })
    expect(plan.older.map(({ manifest }) => manifest.version)).toEqual(['3.11.2', '3.9.1'])
    await collectRuntimes(home, { keepBuilds: true, nowMs: Date.now() })
    expect((await listRuntimes(home)).runtimes.map(({ id }) => id)).toEqual([found.id])
  })

  test('does not take a damaged one, and lists it with the reason', async () => {
    const home = await folderForTest()
    await copyParts(join(home, 'runtimes', 'ab'.repeat(32)), true)
    const { runtimes, damaged } = await listRuntimes(home)
    expect(runtimes).toEqual([])
    expect(damaged).toMatchObject([{ why: 'its manifest is that of another runtime' }])
  })
})

/** The files of the built runtime in a folder of another home. */
async function copyParts(folder: string, isWithManifest = false): Promise<void> {
  await cp(built.folder, folder, {
    recursive: true,
    filter: (path) => isWithManifest || !path.endsWith('manifest.json'),
  })
}

describe('exported runtimes', () => {
  test('arrive whole in another home, and say nothing about it', async () => {
    const [folder, home] = [await folderForTest(), await folderForTest()]
    const path = join(folder, 'tiny.runtime')
    const large = join(folder, 'large')
    await copyParts(large)
    // Bytes that no compressor makes smaller arrive in many pieces.
    const bytes = await readFile(join(large, 'runtime.wasm'))
    const more = new Uint8Array(4 << 20)
    for (let at = 0; at < more.length; at += 1 << 16) crypto.getRandomValues(more.subarray(at, at + (1 << 16)))
    await chmod(join(large, 'runtime.wasm'), 0o600)
    await writeFile(join(large, 'runtime.wasm'), Buffer.concat([bytes, more]))
    const { sha256, lengthBytes } = await digestFile(join(large, 'runtime.wasm'))
    const manifest = { ...built.manifest, module: { sha256, lengthBytes } }
    await writeFile(join(large, 'manifest.json'), encodeRuntimeManifest(manifest))
    const warnings: Error[] = []
    const note = (warning: Error): void => void warnings.push(warning)
    process.on('warning', note)
    await exportRuntime({ ...built, folder: large, manifest }, join(folder, 'large.runtime'))
    expect((await importRuntime(join(folder, 'large.runtime'), home)).manifest).toEqual(manifest)
    process.off('warning', note)
    expect(warnings).toEqual([])

    await exportRuntime(built, path)
    const imported = await importRuntime(path, home)
    expect(imported.id).toBe(built.id)
    expect(await verifyRuntime(imported)).toEqual([])
    expect((await importRuntime(path, home)).id).toBe(built.id)
    await exportRuntime(imported, join(folder, 'again.runtime'))
    expect(await readFile(join(folder, 'again.runtime'))).toEqual(await readFile(path))
  })

  test('install nothing else when one byte is another, wherever it is', async () => {
    const [folder, home] = [await folderForTest(), await folderForTest()]
    const whole = join(folder, 'tiny.runtime')
    const lengthBytes = await exportRuntime(built, whole)
    const changed = join(folder, 'changed.runtime')
    for (let at = 0; at < lengthBytes; at += 7) {
      await writeFile(changed, await readFile(whole))
      await changeByte(changed, at)
      // Bits that a decompressor does not look at change nothing.
      const answer = await importRuntime(changed, home).then(
        ({ id }) => id,
        (error: unknown) => (error as { code: string }).code,
      )
      expect(answer, `byte ${at}`).toBeOneOf(['RUNTIME_FILE', built.id])
    }
    const { runtimes } = await listRuntimes(home)
    for (const runtime of runtimes) expect(await verifyRuntime(runtime)).toEqual([])
    expect(runtimes.length).toBeLessThanOrEqual(1)
  })

  test('are refused when they are cut, and made from no damaged runtime', async () => {
    const [folder, home] = [await folderForTest(), await folderForTest()]
    const whole = join(folder, 'tiny.runtime')
    await exportRuntime(built, whole)
    await writeFile(join(folder, 'cut'), (await readFile(whole)).subarray(0, 500))
    await expect(importRuntime(join(folder, 'cut'), home)).rejects.toMatchObject({ code: 'RUNTIME_FILE' })
    await writeFile(join(folder, 'text'), 'no runtime')
    await expect(importRuntime(join(folder, 'text'), home)).rejects.toMatchObject({
      code: 'RUNTIME_FILE',
      kind: 'input',
    })
    await expect(importRuntime(join(folder, 'none'), home)).rejects.toMatchObject({ code: 'INPUT_MISSING' })

    const imported = await importRuntime(whole, home)
    await changeByte(join(imported.folder, 'runtime.wasm'), 3)
    expect((await verifyRuntime(imported)).length).toBe(1)
    await expect(exportRuntime(imported, join(folder, 'b'))).rejects.toMatchObject({ code: 'RUNTIME_DAMAGED' })
    await expect(stat(join(folder, 'b'))).rejects.toThrow('ENOENT')
    // Importing mends it.
    expect(await verifyRuntime(await importRuntime(whole, home))).toEqual([])
  })
})

describe('decodeRuntimeManifest', () => {
  test('reads what was written, and nothing else', () => {
    expect(decodeRuntimeManifest(encodeRuntimeManifest(built.manifest))).toEqual(built.manifest)
    const changes: readonly Readonly<Record<string, unknown>>[] = [
      { more: 1 },
      { name: 'Tiny' },
      { module: { ...built.manifest.module, lengthBytes: 2 ** 29 } },
      { run: { ...built.manifest.run, libraryAt: 'relative' } },
      { run: { ...built.manifest.run, environment: { 'lower=': 'x' } } },
      { licences: null },
      { sources: Array.from({ length: 65 }, () => built.manifest.sources[0]) },
    ]
    for (const change of changes)
      expect(() => decodeRuntimeManifest(utf8(canonical({ ...built.manifest, ...change })))).toThrow(/manifest/)
    expect(() => decodeRuntimeManifest(utf8(JSON.stringify(built.manifest, null, 1)))).toThrow('canonical')
  })
})
