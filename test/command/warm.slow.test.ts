/** Warm starts by the command: made once, checked every time, repeated by whoever doubts. */
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { layTpm } from '@reprise/tpm/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  encodeWarmEntry,
  keptStack,
  readWarmEntry,
  warmEntry,
  warmStack,
  type MadeEntry,
  type WarmEntry,
} from '../../packages/runner/src/machine/warm/entry.ts'
import { json, Room, type RunAnswer } from './room.ts'

const SCRIPT = 'import random\nprint(random.gauss(0, 1))\nopen("o.txt", "w").write("done")\n'
const MAKING = 'making the warm start of CPython 3.11.3'

let room: Room
let folder: string
let first: RunAnswer

beforeAll(async () => {
  room = await Room.create()
  folder = await room.newFolder({ 'a.py': SCRIPT })
  const answer = await room.reprise(run('warm'), { cwd: folder })
  expect(answer.stderr).toContain(MAKING)
  first = json<RunAnswer>(answer)
})
afterAll(() => room[Symbol.asyncDispose]())

function run(name: string, ...flags: string[]): string[] {
  return ['run', '--json', '-o', `${name}.reprise`, '--input', 'a.py', ...flags, 'python', 'a.py']
}

/** A home without warm starts, which need not rewrite Python again. */
async function homeWithout(name: string): Promise<string> {
  const home = room.newHome(name)
  await layTpm(join(home, 'tpm', 'swtpm'))
  await mkdir(join(home, 'cache'), { recursive: true })
  await cp(join(room.home, 'cache', 'wasm'), join(home, 'cache', 'wasm'), { recursive: true })
  return home
}

async function entryPath(home: string): Promise<string> {
  const names = await readdir(join(home, 'cache', 'warm'))
  expect(names).toHaveLength(1)
  return join(home, 'cache', 'warm', names[0])
}

describe('a Python that starts warm', () => {
  test('is over before V8 begins to optimise the interpreter, which its end would wait for', async () => {
    const line = await room.newFolder({ 'a.py': 'print("hello")\n' })
    const node = { wrap: [process.execPath], node: '--trace-wasm-compilation-times' }
    const { code, stdout } = await room.reprise(['run', 'python', 'a.py'], { cwd: line, ...node })
    expect([code, stdout.includes('using Liftoff'), stdout.includes('using TurboFan')]).toEqual([0, true, false])
  })

  test('names once, in the module that is kept, what it calls first', async () => {
    const home = await homeWithout('named')
    /** Of all that are kept, those that name functions. */
    const naming = async (): Promise<Buffer[]> => {
      const names = (await readdir(join(home, 'cache', 'wasm'))).filter((name) => name.endsWith('.rewritten'))
      const all = await Promise.all(names.map((name) => readFile(join(home, 'cache', 'wasm', name))))
      return all.filter((module) => module.includes('metadata.code.compilation_priority'))
    }
    // The machine of this file ran it before.
    const named = await naming()
    expect(named.length).toBeGreaterThan(0)
    const { cumulative } = json<RunAnswer>(await room.reprise(run('named'), { cwd: folder, home }))
    expect(cumulative).toBe(first.cumulative)
    expect(Buffer.concat(await naming()).equals(Buffer.concat(named))).toBe(true)
  })

  test('unpacks its library once on a machine, and again when what is kept is damaged', async () => {
    const home = await homeWithout('unpacked')
    const names = (await readdir(join(home, 'cache', 'wasm'))).filter((name) => name.endsWith('.library'))
    expect(names).toHaveLength(1)
    const path = join(home, 'cache', 'wasm', names[0])
    const whole = await readFile(path)
    const importing = run('unpacked')
    // In the list of its files, and in the archive that what the script imports is read from.
    const places = [50, whole.length >> 1]
    const flipped = places.map((place) => whole.map((byte, at) => (at === place ? byte ^ 1 : byte)))
    for (const damaged of [whole, whole.subarray(0, -1), ...flipped]) {
      await writeFile(path, damaged)
      const { cumulative } = json<RunAnswer>(await room.reprise(importing, { cwd: folder, home }))
      expect(cumulative).toBe(first.cumulative)
      expect(Buffer.compare(await readFile(path), whole)).toBe(0)
    }
  })

  test('is the same computation the second time, and on another machine', async () => {
    const again = await room.reprise(run('again'), { cwd: folder })
    expect(again.stderr).not.toContain(MAKING)
    const elsewhere = await room.reprise(run('elsewhere'), { cwd: folder, home: await homeWithout('e') })
    for (const answer of [again, elsewhere]) {
      const { computation, cumulative, exit } = json<RunAnswer>(answer)
      expect({ computation, cumulative, exit }).toEqual({
        computation: first.computation,
        cumulative: first.cumulative,
        exit: { code: 0 },
      })
    }
  })

  test('is told apart from a cold one, which gives the same', async () => {
    const cold = json<RunAnswer>(await room.reprise(run('cold', '--cold'), { cwd: folder }))
    expect(cold.outputs).toEqual(first.outputs)
    expect(cold.computation).not.toBe(first.computation)
    const { stdout } = await room.reprise(['diff', 'warm.reprise', 'cold.reprise'], { cwd: folder })
    expect(stdout).toMatch(/start: warm at [0-9a-f]{12}… and cold/)
  })

  test('is said to be one that was not repeated, until it is', async () => {
    const verified = await room.reprise(['verify', '--json', 'warm.reprise'], { cwd: folder })
    expect(verified.code).toBe(0)
    expect(json(verified)).toMatchObject({
      evidence: 'verified',
      start: { kind: 'warm', runtime: 'CPython 3.11.3', repeated: false },
      notChecked: expect.arrayContaining([expect.objectContaining({ what: 'the warm start' })]),
    })
    expect((await room.reprise(['show', 'warm.reprise'], { cwd: folder })).stdout).toContain(
      'warm, after "python" "-m"',
    )
    // Elsewhere the warm-up is run again before anything else.
    const home = await homeWithout('r')
    const repeated = await room.reprise(['repeat', '--json', 'warm.reprise'], { cwd: folder, home })
    expect(json(repeated)).toMatchObject({
      repetition: 'reproduced',
      checkpointsEqual: true,
      start: { kind: 'warm', reproduced: true },
    })
    await entryPath(home)
    const parts = await room.reprise(['repeat', '--json', '--segments', 'all', 'warm.reprise'], { cwd: folder, home })
    expect(json(parts)).toMatchObject({ repetition: 'reproduced', segments: { total: 1, repeated: 1 } })
  })

  test('starts cold when its start depends on what it is given', async () => {
    for (const words of [
      ['-O', 'a.py'],
      ['-c', 'print(1)'],
    ]) {
      const answer = await room.reprise(['run', '--json', '--env', 'PYTHONPATH=/x', '-o', 'x.reprise', 'python', ...words], { cwd: folder }) // prettier-ignore
      expect(answer.code).toBe(0)
      const shown = await room.reprise(['show', 'x.reprise'], { cwd: folder })
      expect(shown.stdout).not.toContain('warm, after')
    }
  })
})

describe('a warm start in the cache', () => {
  test('that is damaged anywhere is noticed and made anew', async () => {
    const path = await entryPath(room.home)
    const whole = await readFile(path)
    const leavesAt = 36 + whole.readUInt32BE(32)
    for (const at of [3, 40, 2000, leavesAt + 100, whole.length >> 1, whole.length - 5]) {
      const damaged = Buffer.from(whole)
      damaged[at] ^= 1
      await writeFile(path, damaged)
      const answer = json<RunAnswer>(await room.reprise(run('mended'), { cwd: folder }))
      expect([at, answer.computation, answer.cumulative]).toEqual([at, first.computation, first.cumulative])
      expect((await readFile(path)).equals(whole)).toBe(true)
    }
    await writeFile(path, whole.subarray(0, 100_000))
    expect(json<RunAnswer>(await room.reprise(run('mended'), { cwd: folder })).cumulative).toBe(first.cumulative)
  })

  test('is there whole or not at all, whenever its maker is killed', async () => {
    const home = await homeWithout('k')
    for (const delayMs of [0, 200, 500, 800, 1100]) {
      const { child, ended } = room.start(run('killed'), { cwd: folder, home })
      await new Promise<void>((resolve) => {
        child.stderr?.on('data', (text: string) => text.includes(MAKING) && resolve())
        child.once('exit', () => resolve())
      })
      await sleep(delayMs)
      child.kill('SIGKILL')
      await ended
      const names = await readdir(join(home, 'cache', 'warm')).catch(() => [])
      for (const name of names.filter((each) => each.endsWith('.warm')))
        expect(await readWarmEntry(join(home, 'cache', 'warm', name))).toBeDefined()
    }
    expect(json<RunAnswer>(await room.reprise(run('after'), { cwd: folder, home })).cumulative).toBe(first.cumulative)
  })

  test('can be made by two at once', async () => {
    const home = await homeWithout('t')
    const both = await Promise.all(['one', 'two'].map((name) => room.reprise(run(name), { cwd: folder, home })))
    for (const answer of both) expect(json<RunAnswer>(answer).cumulative).toBe(first.cumulative)
    await entryPath(home)
  })

  test('that an attacker prepared is in a record that verifies, and diverges for everybody else', async () => {
    const home = await homeWithout('a')
    await mkdir(join(home, 'cache', 'warm'))
    const honest = await readWarmEntry(await entryPath(room.home))
    if (honest === undefined) throw new Error('the honest entry is whole')
    const name = (await readdir(join(room.home, 'cache', 'warm')))[0]
    await writeFile(join(home, 'cache', 'warm', name), encodeWarmEntry(await forged(honest)))
    const lie = json<RunAnswer>(await room.reprise(run('forged'), { cwd: folder, home }))
    expect(lie.computation).not.toBe(first.computation)
    const verified = json(await room.reprise(['verify', '--json', 'forged.reprise'], { cwd: folder }))
    expect(verified).toMatchObject({ evidence: 'verified', start: { kind: 'warm', repeated: false } })
    const repeated = await room.reprise(['repeat', '--json', 'forged.reprise'], { cwd: folder })
    expect(repeated.code).toBe(1)
    expect(json(repeated)).toMatchObject({
      repetition: 'diverged',
      start: { kind: 'warm', reproduced: false },
      record: null,
    })
    const told = await room.reprise(['repeat', 'forged.reprise'], { cwd: folder })
    expect(told.stdout).toMatch(/diverged .*its warm start\n.*began at the state .* its program comes to the state/)
    const parts = await room.reprise(['repeat', '--json', '--segments', 'all', 'forged.reprise'], { cwd: folder })
    expect(json(parts)).toMatchObject({ repetition: 'diverged', results: [{ reproduced: false }] })
  })
})

/** Another memory, and all digests as they belong to it. */
async function forged(entry: WarmEntry): Promise<MadeEntry> {
  const memory = new Uint8Array(entry.head.memoryBytes)
  await entry.unpack(memory)
  const text = Buffer.from(memory.buffer).indexOf('Return the')
  expect(text).toBeGreaterThan(0)
  memory[text] ^= 1
  const stack = warmStack(entry)
  return warmEntry({
    ...keptStack(stack),
    globals: stack.globals,
    hostState: Buffer.from(entry.head.hostState, 'hex'),
    memory,
  })
}
