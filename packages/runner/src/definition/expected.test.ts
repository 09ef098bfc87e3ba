import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openBlobStore, type BlobStore } from '../blobs/index.ts'
import type { InstalledRuntime } from '../runtimes/index.ts'
import { defineCommand } from './define.ts'
import { expectedModule } from './expected.ts'
import type { Flags } from './flags.ts'

let folder: string
let store: BlobStore
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reprise-expected-'))
  store = await openBlobStore(join(folder, 'home'))
  await writeFile(join(folder, 'a.py'), '')
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** What decides the module of the computation that the command really defines. */
async function defined(command: readonly string[], flags: Flags = {}) {
  const context = {
    store,
    folder,
    home: join(folder, 'home'),
    stdin: { async *[Symbol.asyncIterator]() {} },
    now: () => 0n,
    random: (lengthBytes: number) => new Uint8Array(lengthBytes),
    recipes: () => Promise.resolve([]),
    warmRoot: () => Promise.resolve('00'.repeat(32)),
  }
  const { computation } = await defineCommand({ command, flags }, context)
  const { floats, limits, program, start } = computation
  return { floats, limits, program: { sha256: program.sha256 }, isWarm: start !== undefined }
}

function expected(words: readonly string[]) {
  const module = expectedModule(words, [])
  if (module === undefined) return undefined
  const { floats, limits, program, start } = module
  return { floats, limits, program, isWarm: start !== undefined }
}

describe('the module that a command line lets expect', () => {
  test.each<[readonly string[], readonly string[], Flags]>([
    [['python', 'a.py'], ['python', 'a.py'], {}],
    [['-o', 'python', '--json', 'python', 'a.py', '--cold'], ['python', 'a.py', '--cold'], {}],
    [['--cold', 'python', 'a.py'], ['python', 'a.py'], { cold: true }],
    [['python', '-c', 'pass'], ['python', '-c', 'pass'], {}],
    [['python', '-V'], ['python', '-V'], {}],
    [['qjs', 'a.js'], ['qjs', 'a.py'], {}],
  ])('is the one that is run: %j', async (words, command, flags) => {
    expect(expected(words)).toEqual(await defined(command, flags))
  })

  test.each<[readonly string[], string | undefined]>([
    [['--runtime', 'numpy', 'python', 'a.py'], 'numpy'],
    [['--json', '--runtime', 'numpy', 'a.py'], 'numpy'],
    [['--runtime', 'stock', 'python', 'a.py'], undefined],
    [['numpy', 'a.py'], 'numpy'],
    [['python', 'a.py'], 'python'],
  ])('is the one of the runtime that is named, or of the best one: %j', async (words, name) => {
    const installed = ['numpy', 'python'].map((each): InstalledRuntime => ({
      ...{ id: each, folder: '', installedAtMs: 0 },
      manifest: {
        name: each,
        module: { sha256: `of ${each}` },
        run: { warm: 'python' },
      } as InstalledRuntime['manifest'],
    }))
    const stock = await defined(['python', 'a.py'])
    const { program, start } = expectedModule(words, installed) ?? {}
    expect(program?.sha256).toBe(name === undefined ? stock.program.sha256 : `of ${name}`)
    expect(start).toBeDefined()
  })

  test('is none where the words before the program may change it, or it is no runtime', () => {
    expect(expectedModule(['--memory', '1GiB', 'python', 'a.py'], [])).toBeUndefined()
    expect(expectedModule(['--env', 'PYTHONPATH=/x', 'python', 'a.py'], [])).toBeUndefined()
    expect(expectedModule(['python.wasm', 'python'], [])).toBeUndefined()
    expect(expectedModule(['-o'], [])).toBeUndefined()
    expect(expectedModule(['--runtime', 'numpy', 'a.py'], [])).toBeUndefined()
    expect(expectedModule(['--runtime'], [])).toBeUndefined()
    expect(expectedModule([], [])).toBeUndefined()
  })
})
