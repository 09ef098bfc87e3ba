/**
 * NumPy from its sources to a published result: built as locked, an analysis of public data that is killed and goes on,
 * verified, and repeated by segments under another Node on a machine that built nothing.
 */
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { killedAfterSnapshots } from './journals.ts'
import { json, node24, ROOT, Room, type RunAnswer } from './room.ts'

/** Five times what a quiet machine with two cores needs, base and all. */
const BUILDING_MS = 50 * 60_000
const TESTING_MS = 120 * 60_000
const EXAMPLE = join(ROOT, 'examples', 'iris')
const WORDS = ['--checkpoint', 'every=100000000', '--runtime', 'numpy', 'python', 'analysis.py', '2000']

let room: Room
let built: { readonly id: string; readonly lock: { readonly kind: string } }

beforeAll(async () => {
  room = await Room.create()
  const env = { ...process.env, REPRISE_HOME: room.home }
  const words = ['runtime', 'build', 'numpy', '--json']
  const { stdout } = await promisify(execFile)(join(ROOT, 'reprise'), words, { env, timeout: BUILDING_MS })
  built = JSON.parse(stdout) as typeof built
}, BUILDING_MS)
afterAll(() => room[Symbol.asyncDispose]())

async function exampleFolder(): Promise<string> {
  const files = ['analysis.py', 'iris.csv'].map(async (name) => [name, await readFile(join(EXAMPLE, name))] as const)
  return await room.newFolder(Object.fromEntries(await Promise.all(files)))
}

test(
  'CPython passes its own tests, but for those that are known to fail',
  async () => {
    const env = { ...process.env, REPRISE_HOME: room.home }
    const words = [join(ROOT, 'tools', 'python-tests.ts')]
    // It ends with 1, and what it said is in the error, when something else fails or no longer does.
    const { stdout } = await promisify(execFile)(process.execPath, words, { env, timeout: TESTING_MS })
    expect(stdout).toMatch(/^test_generators {3}\d+ passed, 0 failed/m)
  },
  TESTING_MS,
)

test(
  'NumPy passes its own tests, but for those that are known to fail',
  async () => {
    const env = { ...process.env, REPRISE_HOME: room.home }
    const words = [join(ROOT, 'tools', 'numpy-tests.ts')]
    const { stdout } = await promisify(execFile)(process.execPath, words, { env, timeout: TESTING_MS })
    expect(stdout).toMatch(/^core\/tests\/test_multiarray\.py {3}.*\d+ passed/m)
  },
  TESTING_MS,
)

test('comes to what its lock says, when it has one for these tools', () => {
  expect(built.lock.kind).not.toBe('differs')
})

describe('an analysis of the irises', () => {
  let whole: RunAnswer
  beforeAll(async () => {
    const cwd = await exampleFolder()
    whole = json(await room.reprise(['run', '--json', '-o', 'r.reprise', ...WORDS], { cwd }))
    expect(whole).toMatchObject({ exit: { code: 0 } })
    const result = JSON.parse(await readFile(join(cwd, 'result.json'), 'utf8')) as Record<string, unknown>
    // What is known of these data, to the digits that do not hang on a mathematics library.
    expect(result['wrong on all']).toBeCloseTo(0.02, 10)
    expect((result['variance of the principal components'] as number[])[0]).toBeCloseTo(0.924618723, 8)
  })

  test('gives the same states and result when it is killed and goes on, and is repeated by segments elsewhere', async () => {
    const cwd = await exampleFolder()
    const run = await killedAfterSnapshots(room, ['run', '-o', 'r.reprise', '--snapshot-ms', '500', ...WORDS], cwd)
    // Elsewhere nothing has the snapshots that segments begin with.
    const words = ['resume', '--json', '--attach', 'all', '-o', 'r.reprise', run]
    const resumed = json<RunAnswer>(await room.reprise(words, { cwd }))
    const { cumulative, outputs } = whole
    expect(resumed).toMatchObject({ exit: { code: 0 }, cumulative, outputs })
    expect(await room.reprise(['verify', 'r.reprise'], { cwd })).toMatchObject({ code: 0 })

    await room.reprise(['runtime', 'export', 'numpy', '-o', 'numpy.runtime'], { cwd })
    const home = room.newHome('elsewhere')
    const elsewhere = { cwd, home, node: node24() }
    expect(await room.reprise(['runtime', 'import', 'numpy.runtime'], elsewhere)).toMatchObject({ code: 0 })
    const repeat = ['repeat', '--json', '--segments', 'all', '--inputs', cwd, 'r.reprise']
    const repeated = await room.reprise(repeat, elsewhere)
    expect(repeated).toMatchObject({ code: 0 })
    expect(json(repeated)).toMatchObject({ repetition: 'reproduced' })
  })
})
