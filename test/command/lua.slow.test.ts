/** A recipe of the project, from its sources to a run that is killed, goes on and is repeated on a machine that built nothing: Lua. */
import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { killedAfterSnapshots } from './journals.ts'
import { json, node24, Room, type RunAnswer } from './room.ts'

const SCRIPTS = join(import.meta.dirname, 'lua')

let room: Room

beforeAll(async () => {
  room = await Room.create()
})
afterAll(() => room[Symbol.asyncDispose]())

async function scripts(): Promise<string> {
  const names = await readdir(SCRIPTS)
  return await room.newFolder(
    Object.fromEntries(
      await Promise.all(names.map(async (name) => [name, await readFile(join(SCRIPTS, name))] as const)),
    ),
  )
}

test('is built from its sources to the bytes of its lock', async () => {
  const cwd = await room.newFolder()
  const before = await room.reprise(['run', 'lua', 'none.lua'], { cwd })
  expect(before).toMatchObject({ code: 2, stderr: expect.stringContaining('reprise runtime build lua') })
  const answer = await room.reprise(['runtime', 'build', 'lua', '--json'], { cwd })
  expect(answer).toMatchObject({ code: 0 })
  expect(json(answer)).toMatchObject({ lock: { kind: 'as-locked' } })
})

test('says what the native Lua says', async () => {
  const [here, native] = [await scripts(), await scripts()]
  const { stdout } = await promisify(execFile)('lua5.4', ['language.lua', 'word'], { cwd: native })
  const answer = await room.reprise(['run', 'lua', 'language.lua', 'word'], { cwd: here })
  expect(answer).toMatchObject({ code: 0 })
  const said = stdout.split('\n')
  expect(said.length).toBeGreaterThan(35)
  expect(answer.stdout.split('\n').slice(0, said.length - 1)).toEqual(said.slice(0, -1))
  expect(await readFile(join(here, 'named.txt'))).toEqual(await readFile(join(native, 'named.txt')))
})

test('says what there is not', async () => {
  const cwd = await room.newFolder({
    'p.lua': 'print(os.execute(), select(2, pcall(os.execute, "ls")), select(2, pcall(io.popen, "ls")))',
  })
  const { stdout } = await room.reprise(['run', 'lua', 'p.lua'], { cwd })
  expect(stdout.split('\n')[0]).toBe(`false${'\tno process can be started in this machine'.repeat(2)}`)
})

test('goes on after a kill, and is repeated by segments where nothing was built', async () => {
  const words = ['--checkpoint', 'every=10000000', 'lua', 'long.lua', '60']
  const whole = json<RunAnswer>(await room.reprise(['run', '--json', ...words], { cwd: await scripts() }))
  expect(whole).toMatchObject({ exit: { code: 0 } })

  const cwd = await scripts()
  const run = await killedAfterSnapshots(room, ['run', '-o', 'r.reprise', '--snapshot-ms', '200', ...words], cwd)
  const resume = ['resume', '--json', '--attach', 'all', '-o', 'r.reprise', run]
  const resumed = json<RunAnswer>(await room.reprise(resume, { cwd }))
  const { cumulative, outputs } = whole
  expect(resumed).toMatchObject({ exit: { code: 0 }, cumulative, outputs })
  expect(await room.reprise(['verify', 'r.reprise'], { cwd })).toMatchObject({ code: 0 })

  const elsewhere = { cwd, home: room.newHome('elsewhere'), node: node24() }
  const repeated = await room.reprise(
    ['repeat', '--json', '--segments', 'all', '--inputs', cwd, 'r.reprise'],
    elsewhere,
  )
  expect(json(repeated)).toMatchObject({ repetition: 'reproduced' })

  await room.reprise(['runtime', 'export', 'lua', '-o', 'lua.runtime'], { cwd })
  expect(await room.reprise(['runtime', 'import', 'lua.runtime'], elsewhere)).toMatchObject({ code: 0 })
  const there = await room.reprise(['run', '--json', ...words], { ...elsewhere, cwd: await scripts() })
  expect(json(there)).toMatchObject({ computation: whole.computation, cumulative })
})
