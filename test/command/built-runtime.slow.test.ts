/** Runtimes that were built, by the command: used, named in records, moved, and never replaced by another one. */
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exportRuntime } from '../../packages/runner/src/index.ts'
import {
  buildIn,
  putRecipe,
  removeFolders,
  roomForTest,
  TINY_SCRIPT,
} from '../../packages/runner/src/runtimes/testing.ts'
import { compiledProgram } from '../../tools/compile-c.ts'
import { json, Room, type RunAnswer } from './room.ts'

let room: Room
let folder: string

async function exported(name: string, version: string, more = ''): Promise<string> {
  const place = await roomForTest()
  const module = compiledProgram(join(import.meta.dirname, 'library.c'))
  const script = `${TINY_SCRIPT}cp '${module}' "$OUT/runtime.wasm"\n${more}`
  const run = {
    arguments: ['tiny'],
    environment: { TINY_HOME: '/tiny' },
    libraryAt: '/tiny',
    takes: 'arguments',
    missing: [],
  }
  await putRecipe(place.recipes, { name, version, title: `Tiny ${version}`, run }, script)
  const path = join(folder, `${name}-${version}.runtime`)
  await exportRuntime((await buildIn(place, { name })).runtime, path)
  return path
}

beforeAll(async () => {
  room = await Room.create()
  folder = await room.newFolder()
})
afterAll(async () => {
  await room[Symbol.asyncDispose]()
  await removeFolders()
})

async function ids(home: string): Promise<readonly string[]> {
  const { runtimes } = json<{ runtimes: readonly { id: string }[] }>(
    await room.reprise(['runtime', 'list', '--json'], { cwd: folder, home }),
  )
  return runtimes.map(({ id }) => id)
}

describe('a built runtime', () => {
  test('is run by its name, and by --runtime; the best version is taken, another one by its id', async () => {
    for (const version of ['1.9', '1.10'])
      expect((await room.reprise(['runtime', 'import', await exported('tiny', version)], { cwd: folder })).code).toBe(0)
    const work = await room.newFolder()
    const byName = await room.reprise(['run', 'tiny', 'a', 'b'], { cwd: work })
    expect([byName.code, byName.stdout]).toEqual([0, expect.stringContaining('tiny a b with another some\n')])
    expect(byName.stderr).toContain('with Tiny 1.10, runtime ')
    const [best, other] = await ids(room.home)
    const byId = await room.reprise(['run', '--runtime', other.slice(0, 8), 'tiny', 'x'], { cwd: work })
    expect([byId.code, byId.stderr]).toEqual([
      0,
      expect.stringContaining(`with Tiny 1.9, runtime ${other.slice(0, 12)}`),
    ])
    expect((await room.reprise(['runtime', 'verify'], { cwd: work })).stdout).toContain(best.slice(0, 12))
    const unknown = await room.reprise(['run', '--runtime', 'none-such', 'a.py'], { cwd: work })
    expect([unknown.code, unknown.stderr]).toEqual([2, expect.stringContaining('RUNTIME_UNKNOWN')])
  })

  test('of a record is found by its digests or not at all, and travels in the record or by itself', async () => {
    const [mine, another] = [await exported('small', '1', ''), await exported('small', '2', 'echo >"$OUT/lib/x"\n')]
    const [home, elsewhere] = [room.newHome('m'), room.newHome('e')]
    await room.reprise(['runtime', 'import', mine], { cwd: folder, home })
    const work = await room.newFolder()
    for (const attach of ['none', 'runtime']) {
      const words = ['run', '--json', '-o', `${attach}.reprise`, '--attach', attach, 'small', 'a']
      json<RunAnswer>(await room.reprise(words, { cwd: work, home }))
    }
    // A better one of the same name is there, and is not taken.
    await room.reprise(['runtime', 'import', another], { cwd: folder, home: elsewhere })
    const missing = await room.reprise(['repeat', 'none.reprise'], { cwd: work, home: elsewhere })
    expect(missing.code).toBe(3)
    expect(missing.stderr).toContain('BLOB_MISSING')
    expect(missing.stderr).toContain('library at /tiny')
    expect(missing.stderr).toContain('reprise runtime import FILE')
    const carried = await room.reprise(['repeat', 'runtime.reprise'], { cwd: work, home: room.newHome('c') })
    expect([carried.code, carried.stdout]).toEqual([0, expect.stringContaining('reproduced')])
    await room.reprise(['runtime', 'import', mine], { cwd: folder, home: elsewhere })
    const imported = await room.reprise(['repeat', 'none.reprise'], { cwd: work, home: elsewhere })
    expect([imported.code, imported.stdout]).toEqual([0, expect.stringContaining('reproduced')])
  })

  test('that is damaged is named, refused, and deleted by gc', async () => {
    const home = await room.newHost('d')
    await room.reprise(['runtime', 'import', await exported('tiny', '3')], { cwd: folder, home })
    const [id] = await ids(home)
    const path = join(home, 'runtimes', id, 'library.tar.gz')
    await chmod(path, 0o600)
    await writeFile(path, 'something else')
    const checked = await room.reprise(['runtime', 'verify'], { cwd: folder, home })
    expect([checked.code, checked.stdout]).toEqual([1, expect.stringContaining('damaged')])
    const exporting = await room.reprise(['runtime', 'export', 'tiny', '-o', 'x.runtime'], { cwd: folder, home })
    expect([exporting.code, exporting.stderr]).toEqual([3, expect.stringContaining('RUNTIME_DAMAGED')])
    await writeFile(join(home, 'runtimes', id, 'manifest.json'), '{}')
    expect((await room.reprise(['runtime', 'gc'], { cwd: folder, home })).stdout).toContain('would delete')
    expect((await room.reprise(['runtime', 'gc', '--yes'], { cwd: folder, home })).code).toBe(0)
    expect(await ids(home)).toEqual([])
  })
})
