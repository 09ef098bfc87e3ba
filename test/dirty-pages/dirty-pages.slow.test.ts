/** Changed pages from the kernel and by comparison: the same states, and nothing breaks when the kernel's way does. */

import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compiledProgram } from '../../tools/compile-c.ts'
import { Room } from '../command/room.ts'
import { ROOT, runGuests, runPrepared, startGuests, temporaryFolder } from './children.ts'
import type { Answer, Case, Way } from './machine.child.ts'
import type { LargePages } from './large-pages.child.ts'
import type { Rounds } from './memory.child.ts'
import { moduleOf, PAGES_MAX, writes } from './random-writes.ts'

const NIGHTLY = process.env['REPRISE_TESTS'] === 'nightly'
const PROGRAMS = NIGHTLY ? 100 : 8
const KERNEL: Way = { dirtyPages: 'kernel' }
const COMPARE: Way = { dirtyPages: 'compare' }
const ASKED = { method: 'compare', why: 'it was asked for' }
const FOUND = { method: 'kernel', why: null }

const large = (args: readonly string[], rest: Pick<Case, 'home' | 'ways'> & Partial<Case>): Case => ({
  program: compiledProgram(join(ROOT, 'bench/programs/large-memory.c')),
  arguments: args,
  memoryPages: 32_768,
  fuel: 1_000_000,
  ...rest,
})

interface RunAnswer {
  readonly checkpoints: number
  readonly cumulative: string
  readonly overhead: { readonly dirtyPages: object }
}

const statesOf = (answers: readonly Answer[]): readonly (readonly string[])[] => answers.map(({ states }) => states)

test('guests that write in every way there is have the same states', async () => {
  await using folder = await temporaryFolder()
  const cases: Case[] = []
  for (const [i, list] of fc.sample(writes, PROGRAMS).entries()) {
    const program = join(folder.path, `${i}.wasm`)
    await writeFile(program, moduleOf(list))
    const stdin = Buffer.alloc(5000, `input ${i} `).toString('base64')
    cases.push({ home: join(folder.path, 'home'), program, stdin, memoryPages: PAGES_MAX, ways: [COMPARE, KERNEL] })
  }
  const answers = await runGuests(folder, cases)
  expect(answers).toHaveLength(PROGRAMS)
  for (const [compared, found] of answers) {
    expect(found.states).toEqual(compared.states)
    expect([found.end, found.method, compared.method]).toEqual(['0', FOUND, ASKED])
  }
  expect(answers.filter(([{ states }]) => states.length > 3).length).toBeGreaterThan(PROGRAMS / 2)
})

test('what the kernel itself writes into a memory on behalf of the host is named too', async () => {
  await using folder = await temporaryFolder()
  const file = join(folder.path, 'bytes')
  await writeFile(file, Buffer.alloc(20_000, 'some bytes '))
  const seed = String(Math.floor(Math.random() * 1e9))
  const { rounds, methods } = await runPrepared<Rounds>('memory.child.ts', [file, seed])
  expect(rounds.filter(({ changed }) => changed.length > 0).length).toBeGreaterThan(20)
  for (const { named, changed } of rounds) expect(named, `seed ${seed}`).toEqual(changed)
  expect(methods.slice(0, 5)).toEqual(['kernel', 'kernel', 'kernel', 'compare', 'kernel'])
})

test('a large memory asks for large pages, and is watched in small ones', async () => {
  const { flags, written, named, sparse } = await runPrepared<LargePages>('large-pages.child.ts', [])
  // Where the kernel has them.
  if (existsSync('/sys/kernel/mm/transparent_hugepage')) expect(flags).toContain('hg')
  expect(named).toEqual(written)
  expect(sparse).toEqual(written)
})

test('a guest that grows, one that moves to another machine, and one of which nobody knows at first how large it is', async () => {
  await using folder = await temporaryFolder()
  const home = join(folder.path, 'home')
  const ways = [COMPARE, KERNEL, { ...KERNEL, moveAt: 3 }, { dirtyPages: 'auto' }] as const
  const [answers] = await runGuests(folder, [large(['40', '16', '500', '2'], { home, ways, fuel: 80_000 })])
  const [{ states }] = answers
  expect(states.length).toBeGreaterThan(8)
  expect(statesOf(answers)).toEqual(ways.map(() => states))
  expect(answers.map(({ method }) => method)).toEqual([ASKED, FOUND, FOUND, FOUND])
})

/** Half of what the compiler lets a program have, and by day a quarter. */
const LARGE_MIB = NIGHTLY ? '2000' : '1000'

test(`a guest of ${LARGE_MIB} MiB that writes here and there`, async () => {
  await using folder = await temporaryFolder()
  const home = join(folder.path, 'home')
  const answers = await runGuests(folder, [large([LARGE_MIB, '4', '6000'], { home, ways: [COMPARE, KERNEL] })])
  const [[compared, found]] = answers
  expect(compared.states.length).toBeGreaterThan(2)
  expect(found.states).toEqual(compared.states)
})

test('a scanner that is killed leaves a machine that goes on comparing', async () => {
  await using folder = await temporaryFolder()
  const home = join(folder.path, 'home')
  const ways = [COMPARE, { dirtyPages: 'auto', kill: true }] as const
  const [answers] = await runGuests(folder, [large(['100', '20', '1000'], { home, ways, fuel: 150_000 })])
  const [compared, killed] = answers
  expect(compared.states.length).toBeGreaterThan(10)
  expect(killed.states).toEqual(compared.states)
  expect(killed.method).toEqual({ method: 'compare', why: expect.stringMatching(/EPIPE|the scanner has ended/) })
})

test('without the prepared process all is compared, and says why; where the kernel must be asked it fails', async () => {
  await using folder = await temporaryFolder()
  const home = join(folder.path, 'home')
  const bare = { PATH: process.env['PATH'] }
  const guest = (way: Way): Case[] => [large(['100', '6', '2000'], { home, ways: [way], fuel: 300_000 })]
  const [[answer]] = await runGuests(folder, guest({ dirtyPages: 'auto' }), bare)
  expect(answer.method).toEqual({
    method: 'compare',
    why: 'Node was not started by ./reprise, which prepares it',
  })
  await expect(runGuests(folder, guest(KERNEL), bare)).rejects.toThrow('Node was not started by ./reprise')
})

test('the command says how changed pages were found, and its record is the same either way', async () => {
  await using room = await Room.create()
  const { program, arguments: args = [] } = large(['100', '20', '5000'], { home: room.home, ways: [] })
  const cwd = await room.newFolder({ 'guest.wasm': await readFile(program) })
  const run = async (name: string, env: NodeJS.ProcessEnv = {}): Promise<RunAnswer> => {
    const command = ['run', '--json', '--checkpoint', 'every=500000', '-o', name, 'guest.wasm', ...args]
    const { stdout } = await promisify(execFile)(join(ROOT, 'reprise'), command, {
      cwd,
      env: { ...process.env, REPRISE_HOME: room.home, REPRISE_TPM: 'software', ...env },
    })
    return JSON.parse(stdout) as RunAnswer
  }
  const found = await run('a.reprise', { REPRISE_DIRTY_PAGES: 'kernel' })
  const compared = await run('b.reprise', { REPRISE_DIRTY_PAGES: 'compare' })
  expect([found.overhead.dirtyPages, compared.overhead.dirtyPages]).toEqual([FOUND, ASKED])
  expect(found.checkpoints).toBeGreaterThan(5)
  expect(found.cumulative).toBe(compared.cumulative)
  await expect(run('c.reprise', { REPRISE_DIRTY_PAGES: 'both' })).rejects.toMatchObject({
    code: 2,
    stdout: expect.stringContaining('set it to auto, kernel or compare'),
  })
})

test('a scanner ends with its process, however that ends', async () => {
  await using folder = await temporaryFolder()
  const home = join(folder.path, 'home')
  const child = await startGuests(folder, [large(['200', '100000', '2000'], { home, ways: [KERNEL], fuel: 300_000 })])
  const ended = once(child, 'exit')
  try {
    const scanner = await eventually(async () => {
      const children = await readFile(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8')
      return children.trim() === '' ? undefined : Number(children.trim())
    })
    child.kill('SIGKILL')
    await eventually(async () => ((await isRunning(scanner)) ? undefined : true))
  } finally {
    child.kill('SIGKILL')
    await ended
  }
})

async function isRunning(pid: number): Promise<boolean> {
  try {
    return !/^State:\s+Z/m.test(await readFile(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

/** Asks until there is an answer; the test's own time limit ends it. */
async function eventually<T>(ask: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    const answer = await ask()
    if (answer !== undefined) return answer
    await sleep(20)
  }
}
