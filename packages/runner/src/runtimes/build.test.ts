import { access, appendFile, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { gunzipSync } from 'node:zlib'
import { fromUtf8 } from '@reprise/core'
import { readTar } from '@reprise/wasm'
import { afterAll, describe, expect, test } from 'vitest'
import { encodeLock, readLock, readRecipe, type RecipeLock } from './recipe.ts'
import { listRuntimes, verifyRuntime } from './store.ts'
import { buildIn, putRecipe, removeFolders, roomForTest, SOURCE_FILE, TINY_SCRIPT, type Room } from './testing.ts'

afterAll(removeFolders)

async function libraryOf(folder: string): Promise<Readonly<Record<string, string>>> {
  const files = readTar(gunzipSync(await readFile(join(folder, 'library.tar.gz'))))
  return Object.fromEntries(files.map(({ path, bytes }) => [path, fromUtf8(bytes)]))
}

async function tinyRoom(changes: Readonly<Record<string, unknown>> = {}, script = TINY_SCRIPT): Promise<Room> {
  const room = await roomForTest()
  await putRecipe(room.recipes, changes, script)
  return room
}

describe('buildRuntime', () => {
  test('installs module, library and licences as the manifest says, and tells its steps', async () => {
    const room = await tinyRoom()
    const steps: string[] = []
    const { runtime, isNew, lock } = await buildIn(room, { onStep: (step) => steps.push(step) })
    expect(isNew).toBe(true)
    expect(steps).toEqual(['looking', 'making', 'packing'])
    expect(lock).toMatchObject({ kind: 'not-comparable' })
    expect(await verifyRuntime(runtime)).toEqual([])
    expect(await libraryOf(runtime.folder)).toEqual({
      'deep/components': 'with another some\n',
      source: 'what is built from\n',
    })
    expect((await listRuntimes(room.home)).runtimes).toEqual([runtime])
    expect((await buildIn(room)).isNew).toBe(false)
  })

  test('gives the same runtime in another folder, another home and from the beginning', async () => {
    const [one, other] = [await tinyRoom(), await tinyRoom()]
    const { runtime } = await buildIn(one)
    expect((await buildIn(other)).runtime.id).toBe(runtime.id)
    expect((await buildIn(one, { again: true })).runtime.id).toBe(runtime.id)
  })

  test('builds the components that are asked for, and no others', async () => {
    const room = await tinyRoom()
    const { runtime, lock } = await buildIn(room, { components: ['some'] })
    expect((await libraryOf(runtime.folder))['deep/components']).toBe('with some\n')
    expect(runtime.manifest.components).toEqual(['some'])
    expect(lock.kind).toBe('not-comparable')
    await expect(buildIn(room, { components: ['none-such'] })).rejects.toMatchObject({ code: 'USAGE' })
  })

  test('says what differs from the lock, and installs it nonetheless', async () => {
    const room = await tinyRoom()
    const { runtime, recipe } = await buildIn(room)
    const { module, library, licences, toolchain } = runtime.manifest
    const locked: RecipeLock = { recipe: recipe.digest, module, library, licences, toolchain }
    const path = join(recipe.folder, 'recipe.lock.json')
    await writeFile(path, encodeLock(locked))
    expect(await readLock(recipe)).toEqual(locked)
    expect((await buildIn(room)).lock).toEqual({ kind: 'as-locked' })

    const other = { ...module, sha256: '00'.repeat(32) }
    await writeFile(path, encodeLock({ ...locked, module: other, toolchain: [{ package: 'clang-19', version: '1' }] }))
    expect((await buildIn(room, { again: true })).lock).toEqual({
      kind: 'differs',
      parts: [{ part: 'module', locked: other, built: module }],
      tools: [{ package: 'clang-19', locked: '1', here: null }],
    })
  })

  test('builds a base first, and hands its OUT over', async () => {
    const room = await tinyRoom()
    const changes = { name: 'more', title: 'More', base: 'tiny', run: null, sources: [], components: [] }
    await putRecipe(
      room.recipes,
      changes,
      'mkdir -p "$OUT/licences"; cp "$BASE/runtime.wasm" "$OUT/"; cp "$BASE/sdk/header" "$OUT/licences/"\n',
    )
    const { runtime } = await buildIn(room, { name: 'more' })
    const { runtimes } = await listRuntimes(room.home)
    expect(runtimes.map(({ manifest }) => manifest.name)).toEqual(['more', 'tiny'])
    expect(runtime.manifest).toMatchObject({ base: runtimes[1].id, library: null, run: runtimes[1].manifest.run })
  })

  test('refuses a recipe that builds on itself', async () => {
    const room = await tinyRoom({ base: 'tiny' })
    await expect(buildIn(room)).rejects.toMatchObject({ code: 'RECIPE' })
  })
})

describe('what goes wrong in a build', () => {
  test('a source with another digest is refused by name, and nothing is installed', async () => {
    const room = await tinyRoom()
    await appendFile(join(room.sources, SOURCE_FILE.name), 'x')
    await expect(buildIn(room)).rejects.toMatchObject({
      code: 'RUNTIME_SOURCES',
      message: expect.stringContaining(SOURCE_FILE.sha256),
    })
    expect(await listRuntimes(room.home)).toEqual({ runtimes: [], damaged: [] })
  })

  test('a log that cannot be written ends the build and all that it started', async () => {
    const room = await tinyRoom({}, `echo $$ >"$WORK/pid"; echo "step: long"; sleep 60\n${TINY_SCRIPT}`)
    const begun = new AbortController()
    const interrupted = buildIn(room, { signal: begun.signal, onStep: () => begun.abort(new Error('enough')) })
    await expect(interrupted).rejects.toThrow('enough')
    const builds = join(room.home, 'cache', 'runtimes', 'builds')
    const [folder] = await readdir(builds)
    await rm(join(builds, folder, 'build.log'))
    await symlink('/dev/full', join(builds, folder, 'build.log'))
    await expect(buildIn(room)).rejects.toMatchObject({
      code: 'DISK_FULL',
      message: expect.stringContaining('build.log'),
    })
    expect((await listRuntimes(room.home)).runtimes).toEqual([])
    const pid = Number(await readFile(join(builds, folder, 'work', 'pid'), 'utf8'))
    expect(() => process.kill(pid, 0)).toThrow('ESRCH')
  })

  test('a script that fails is told with the end of its log, and the next build goes on in its folder', async () => {
    const marker = 'if [ ! -f "$WORK/tried" ]; then touch "$WORK/tried"; echo "no compiler today"; exit 3; fi\n'
    const room = await tinyRoom({}, marker + TINY_SCRIPT)
    await expect(buildIn(room)).rejects.toMatchObject({
      code: 'RUNTIME_BUILD',
      message: expect.stringContaining('no compiler today'),
    })
    expect((await listRuntimes(room.home)).runtimes).toEqual([])
    const { isNew, log } = await buildIn(room)
    expect(isNew).toBe(true)
    expect(await readFile(log, 'utf8')).toContain('no compiler today')
  })

  test('an interruption ends everything that the script started, and leaves nothing installed', async () => {
    const script = '(while :; do date >"$WORK/alive"; sleep 0.05; done) & echo "step: waiting"; wait\n'
    const room = await tinyRoom({}, script)
    const controller = new AbortController()
    const building = buildIn(room, {
      signal: controller.signal,
      onStep: (step) => step === 'waiting' && controller.abort(new Error('SIGINT')),
    })
    await expect(building).rejects.toThrow('SIGINT')
    expect((await listRuntimes(room.home)).runtimes).toEqual([])
    // Whoever still held the lock would be at work.
    await putRecipe(room.recipes)
    await buildIn(room)
    const builds = join(room.home, 'cache', 'runtimes', 'builds')
    const alive = (await readdir(builds)).map((name) => join(builds, name, 'work', 'alive'))
    for (const path of alive) await rm(path, { force: true })
    await sleep(300)
    for (const path of alive) await expect(access(path)).rejects.toThrow('ENOENT')
  })

  test('a second build of the same is told that there is one', async () => {
    const room = await tinyRoom({}, 'echo "step: waiting"; sleep 600\n')
    const controller = new AbortController()
    const second = Promise.withResolvers<unknown>()
    const first = buildIn(room, {
      signal: controller.signal,
      onStep: (step) => {
        if (step === 'waiting') buildIn(room).then(second.resolve, second.reject)
      },
    })
    await expect(second.promise).rejects.toMatchObject({ code: 'RUNTIME_BUSY' })
    controller.abort(new Error('enough'))
    await expect(first).rejects.toThrow('enough')
  })

  test('a disk that is too small is told before anything is done', async () => {
    const room = await tinyRoom({ workBytes: 2 ** 40 })
    await expect(buildIn(room)).rejects.toMatchObject({ code: 'DISK_FULL' })
  })

  test.each([
    ['no module', 'mkdir -p "$OUT/licences"; echo >"$OUT/licences/x"\n'],
    [
      'something that is no',
      'mkdir -p "$OUT/licences"; echo >"$OUT/licences/x"; echo hello world >"$OUT/runtime.wasm"\n',
    ],
    ['no licences', 'printf "\\0asm\\1\\0\\0\\0" >"$OUT/runtime.wasm"\n'],
    ['neither a file nor a folder', `${TINY_SCRIPT}ln -s /etc/passwd "$OUT/lib/passwd"\n`],
  ])('a build that leaves %s is refused', async (what, script) => {
    const room = await tinyRoom({}, script)
    await expect(buildIn(room)).rejects.toMatchObject({
      code: 'RUNTIME_BUILD',
      message: expect.stringContaining(what),
    })
    expect((await readdir(join(room.home, 'runtimes')).catch(() => [])).length).toBe(0)
  })

  test('a home or recipes on a path that scripts would part are refused before anything is done', async () => {
    const room = await tinyRoom()
    for (const changed of [{ home: join(room.home, 'another place') }, { recipes: join(room.recipes, 'it$elf') }]) {
      const odd = { ...room, ...changed }
      await putRecipe(odd.recipes)
      await expect(buildIn(odd)).rejects.toMatchObject({
        code: 'RUNTIME_BUILD',
        message: expect.stringMatching(/another place|it\$elf/) as string,
        hint: expect.stringContaining('REPRISE_HOME') as string,
      })
      expect((await listRuntimes(odd.home)).runtimes).toEqual([])
    }
  })

  test('packages that are missing are installed by name, or named', async () => {
    const room = await tinyRoom({ tools: ['no-such-compiler-99'] })
    await expect(buildIn(room)).rejects.toThrow('would install no-such-compiler-99')
    await expect(buildIn(room, { installTools: async () => {} })).rejects.toMatchObject({
      code: 'RUNTIME_TOOLS',
      hint: 'apt-get install no-such-compiler-99',
    })
  })
})

describe('readRecipe', () => {
  test('names the recipes that there are', async () => {
    const room = await tinyRoom()
    await expect(readRecipe(room.recipes, 'other')).rejects.toMatchObject({
      code: 'RUNTIME_UNKNOWN',
      hint: 'there are: tiny',
    })
  })

  test.each([
    [{ schema: 'other' }, 'recipe.schema'],
    [{ colour: 'red' }, 'recipe.colour'],
    [{ workBytes: -1 }, 'recipe.workBytes'],
    [{ tools: ['Clang 19'] }, 'recipe.tools[0]'],
    [{ patches: [{ file: '../x.patch', why: 'no' }] }, 'recipe.patches[0].file'],
    [{ patches: [{ file: 'x.patch', why: 'no' }] }, 'no file x.patch'],
    [{ run: null }, 'recipe.run'],
    [{ sources: [{ package: 'tiny', version: '1', files: [{ ...SOURCE_FILE, name: '../x' }] }] }, 'files[0].name'],
  ])('refuses %j', async (changes, place) => {
    const room = await tinyRoom(changes)
    await expect(readRecipe(room.recipes, 'tiny')).rejects.toMatchObject({
      code: 'RECIPE',
      message: expect.stringContaining(place),
    })
  })

  test('refuses a patch that it does not name', async () => {
    const room = await tinyRoom()
    const { folder } = await readRecipe(room.recipes, 'tiny')
    await writeFile(join(folder, '01-new.patch'), '')
    await expect(readRecipe(room.recipes, 'tiny')).rejects.toMatchObject({
      code: 'RECIPE',
      message: expect.stringContaining('01-new.patch lies beside it') as string,
    })
  })

  test('another script is another recipe; a lock, a text and what is known of tests are not', async () => {
    const room = await tinyRoom()
    const { digest, folder } = await readRecipe(room.recipes, 'tiny')
    await writeFile(join(folder, 'README.md'), 'text')
    await writeFile(join(folder, 'recipe.lock.json'), '{}')
    await writeFile(join(folder, 'tests.json'), '{}')
    expect((await readRecipe(room.recipes, 'tiny')).digest).toBe(digest)
    await appendFile(join(folder, 'build.sh'), '\n')
    expect((await readRecipe(room.recipes, 'tiny')).digest).not.toBe(digest)
  })
})
