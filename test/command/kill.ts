/**
 * The kill matrix: a program is killed when its journal shows a chosen checkpoint, resumed in a fresh process, killed at
 * the next chosen one, and so on. At the end it must have given what it gives when nothing happens to it, root by root.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import type { Checkpoint } from '@reprise/core'
import type { JournalRun } from '../../packages/runner/src/journal/index.ts'
import { type ProgramName, programNames, programs } from '../../bench/programs/catalog.ts'
import { checkpointsOf, lastSeqIn, peek, runsIn } from './journals.ts'
import { type Answer, json, type Room, type RunAnswer, type Running } from './room.ts'

const NIGHTLY = process.env['REPRISE_TESTS'] === 'nightly'
/** The grid is chosen so that a program has about as many; to hash a large memory takes longer than all the rest. */
const CHECKPOINTS = NIGHTLY ? 60 : 24
/** Some programs have fewer: one that stops seldom passes over several points of the grid at a time. */
const CHECKPOINTS_MIN = CHECKPOINTS / 3
const isLargeByDay = (name: ProgramName): boolean => !NIGHTLY && programs[name].kind !== 'kernel'
/** Each checkpoint is signed before the program goes far beyond it; every few have a snapshot. */
function often(name: ProgramName): readonly string[] {
  const snapshotMs = NIGHTLY ? 50 : isLargeByDay(name) ? 300 : 75
  return ['--max-lag-ms', '1', '--snapshot-ms', String(snapshotMs)]
}

/**
 * By day V8 leaves the functions of a runtime or a compiler as they are, where Reprise leaves that to Node: it would optimise
 * the great loop in the background, anew for each place at which it was left, and a process that ends waits for that. Ruby's
 * takes longer than all the rest. What nothing happens to is run as always.
 */
const nodeOptionsOf = (name: ProgramName): readonly string[] =>
  isLargeByDay(name) ? ['--wasm-tiering-budget=2000000000'] : []

/** What came to its end before it could be killed is tried again so often. */
export const TRIES = 5

/** Those of which much is like the others' are left to the night. */
const AT_NIGHT: readonly ProgramName[] = ['floyd-warshall', 'sha256', 'sort', 'wasm-ld']
export const programsOfDay = programNames.filter((name) => !AT_NIGHT.includes(name))

/**
 * Where the programs of the day end, in millions of fuel, so that it need not be found out by one run more. Another
 * number is another count of checkpoints, which a test is told when there are too few.
 */
const ENDS: Partial<Record<ProgramName, number>> = {
  ...{ gemm: 3726, 'hash-table': 177, 'jacobi-2d': 2139, nbody: 1913, 'small-writes': 774, sort: 756 },
  ...{ lua: 941, php: 568, python: 446, quickjs: 2350, ruby: 876, sqlite: 956, clang: 290 },
}
/** Those that are over before they are killed five times do their work twice by day. */
const TWICE: readonly ProgramName[] = ['hash-table', 'lua', 'small-writes']

export interface Whole {
  readonly name: ProgramName
  readonly grid: readonly string[]
  readonly checkpoints: readonly Checkpoint[]
  readonly answer: RunAnswer
}

interface Started {
  readonly words: readonly string[]
  readonly cwd: string
}

async function folderOf(room: Room, name: ProgramName): Promise<Started> {
  const { work, testRounds } = programs[name]
  const byDay = TWICE.includes(name) ? 2 : 1
  const { command, files } = work(NIGHTLY ? testRounds : byDay)
  const cwd = await room.newFolder(Object.fromEntries(files.map(({ path, bytes }) => [path, bytes])))
  return { words: command, cwd }
}

async function runWhole(room: Room, name: ProgramName, grid: readonly string[], node?: string): Promise<Whole> {
  const { words, cwd } = await folderOf(room, name)
  const command = ['run', '--json', '--no-snapshots', '-o', 'r.reprise', ...grid, ...words]
  const ran = await room.reprise(command, { cwd, ...(node !== undefined && { node }) })
  expect(ran).toMatchObject({ code: 0 })
  const answer = json<RunAnswer>(ran)
  const checkpoints = await checkpointsOf(await peek(room.home, answer.run))
  expect(checkpoints).toHaveLength(answer.checkpoints)
  return { name, grid, checkpoints, answer }
}

async function endOf(room: Room, name: ProgramName): Promise<bigint> {
  const { checkpoints } = await runWhole(room, name, ['--checkpoint', 'none'])
  return BigInt(checkpoints.at(-1)?.position ?? 0n)
}

/** What a program gives when nothing happens to it: the same at all checkpoints under the other Node, if there is one. */
export async function whole(room: Room, name: ProgramName, otherNode?: string): Promise<Whole> {
  const known = NIGHTLY ? undefined : ENDS[name]
  const end = known === undefined ? await endOf(room, name) : BigInt(known) * 1_000_000n
  const fuel = end / BigInt(CHECKPOINTS) + 1n
  const grid = ['--checkpoint', `every=${fuel}`]
  const here = await runWhole(room, name, grid)
  expect(here.checkpoints.length).toBeGreaterThan(CHECKPOINTS_MIN)
  if (otherNode === undefined) return here
  const there = await runWhole(room, name, grid, otherNode)
  expect(there.checkpoints).toEqual(here.checkpoints)
  expect(there.answer).toMatchObject({ cumulative: here.answer.cumulative, outputs: here.answer.outputs })
  return here
}

/** Checkpoints; several can come in one write. */
const HELD_BEFORE = 5

interface Killed {
  readonly run: string
  readonly left: JournalRun
}

/**
 * Kills a command as soon as the journal shows checkpoint `seq`.
 *
 * @returns What the journal held then.
 */
async function killAt(
  room: Room,
  { child, ended }: Running,
  at: {
    readonly seq: number
    readonly run: string | undefined
    readonly before: ReadonlySet<string>
    /** After that, so that it is in the middle of anything. */
    readonly delayUs: number
  },
): Promise<Killed> {
  let { run } = at
  for (;;) {
    run ??= (await runsIn(room.home)).find((name) => !at.before.has(name))
    const seq = run === undefined ? -1 : await lastSeqIn(room.home, run)
    if (child.exitCode !== null || seq >= at.seq) break
    // Shortly before, it is held while it is looked at: a busy machine would come to the end meanwhile.
    child.kill('SIGCONT')
    await sleep(2)
    if (seq >= at.seq - HELD_BEFORE) child.kill('SIGSTOP')
  }
  child.kill('SIGCONT')
  for (const untilMs = performance.now() + at.delayUs / 1000; performance.now() < untilMs;);
  child.kill('SIGKILL')
  const { code, stderr } = await ended
  const left = run === undefined ? undefined : await peek(room.home, run)
  if (run === undefined || left === undefined || (code !== 128 + 9 && code !== 0))
    throw new Error(`ended with ${code}: ${stderr}`)
  return { run, left }
}

export interface Chain {
  /** At which checkpoints it is killed, sorted. */
  readonly seqs: readonly number[]
  /** Those of the attempts in turn; undefined is this Node. */
  readonly nodes: readonly (string | undefined)[]
  /** Numbers from 0 to 1. */
  readonly random: () => number
  /** How long after a checkpoint it may be killed. Default: 4 ms, in which a snapshot is written, and several lines of the journal. */
  readonly delayUsMax?: number
}

/**
 * Goes through a chain of kills and to the end.
 *
 * @returns At how many checkpoints it was killed: where it came to its end first, it was not.
 */
export async function expectSurvives(
  room: Room,
  expected: Whole,
  { seqs, nodes, random, delayUsMax = 4000 }: Chain,
): Promise<number> {
  const { words, cwd } = await folderOf(room, expected.name)
  let attempts = 0
  let run: string | undefined
  const start = (...options: readonly string[]): Running => {
    const node = nodes[attempts++ % nodes.length]
    const command = run === undefined ? ['run', ...options, ...expected.grid, ...words] : ['resume', ...options, run]
    return room.start(command, { cwd, nodeOptions: nodeOptionsOf(expected.name), ...(node !== undefined && { node }) })
  }
  for (const [kills, seq] of seqs.entries()) {
    const before = new Set(await runsIn(room.home))
    const killed = await killAt(room, start('-o', 'r.reprise', ...often(expected.name)), {
      seq,
      run,
      before,
      delayUs: random() * delayUsMax,
    })
    const { snapshots, signedSeq, ended } = killed.left
    const checkpoints = await checkpointsOf(killed.left)
    expect(checkpoints).toEqual(expected.checkpoints.slice(0, checkpoints.length))
    if (ended === 'finished') {
      expect(checkpoints).toHaveLength(expected.checkpoints.length)
      return kills
    }
    // Killed before its first snapshot was signed, there is nothing to go on from.
    run = snapshots.some((snapshot) => snapshot.seq <= signedSeq) ? killed.run : undefined
  }
  await expectEnds(room, expected, { ...(await start('--json', '-o', 'r.reprise').ended), cwd })
  return seqs.length
}

/** A command that went to the end of a program gave what it gives when nothing happens to it. */
async function expectEnds(room: Room, expected: Whole, last: Answer & { readonly cwd: string }): Promise<void> {
  expect(last).toMatchObject({ code: 0 })
  const { computation, cumulative, exit, outputs, signedCheckpoints } = expected.answer
  const answer = json<RunAnswer>(last)
  expect(answer).toMatchObject({ computation, cumulative, exit, outputs, signedCheckpoints })
  expect(await checkpointsOf(await peek(room.home, answer.run))).toEqual(expected.checkpoints)
  const verified = await room.reprise(['verify', '--json', 'r.reprise'], { cwd: last.cwd })
  expect(json(verified)).toMatchObject({ evidence: 'verified' })
}

/** System calls by which something comes to disk or gets its name. */
export const CALLS = ['write', 'fsync', 'fdatasync', 'rename'] as const

interface AtCall {
  readonly call: (typeof CALLS)[number]
  /** Of the thread that comes to so many first. */
  readonly nth: number
}

interface Traced {
  readonly output: string
  readonly options: readonly string[]
}

/** Runs a program under strace, whose output goes to a file. */
async function traced(room: Room, { name, grid }: Whole, { output, options }: Traced): Promise<Answer & Started> {
  const { words, cwd } = await folderOf(room, name)
  const answer = await room.reprise(['run', '-o', 'r.reprise', ...grid, ...often(name), ...words], {
    cwd,
    // Calls are counted by thread: so all of them are made by one.
    env: { UV_THREADPOOL_SIZE: '1' },
    // The kernel picks the calls: otherwise strace would stop the program at every other one too.
    wrap: ['strace', '-f', '--seccomp-bpf', '-qq', '-o', output, ...options],
  })
  return { ...answer, cwd, words }
}

/** How many calls of a kind are made by the thread that makes most, when nothing happens to a program. */
export async function mostCalls(room: Room, expected: Whole, call: AtCall['call']): Promise<number> {
  const output = join(await room.newFolder({}), 'calls')
  expect(await traced(room, expected, { output, options: ['-e', `trace=${call}`] })).toMatchObject({ code: 0 })
  const calls = new Map<string, number>()
  for (const [, thread] of (await readFile(output, 'latin1')).matchAll(new RegExp(`^(\\d+) +${call}\\(`, 'gm')))
    calls.set(thread, (calls.get(thread) ?? 0) + 1)
  return Math.max(0, ...calls.values())
}

/**
 * Kills what comes to the n-th system call of a kind, before the kernel does it, and goes on. That may be a helper, without
 * which a command comes to its end.
 *
 * @returns Whether the command itself was killed.
 */
export async function expectSurvivesCall(room: Room, expected: Whole, { call, nth }: AtCall): Promise<boolean> {
  const before = new Set(await runsIn(room.home))
  const inject = ['-e', `trace=${call}`, '-e', `inject=${call}:signal=SIGKILL:when=${nth}`]
  const { code, cwd, words } = await traced(room, expected, { output: '/dev/null', options: inject })
  const isKilled = code === 128 + 9
  if (!isKilled) expect(code).toBe(0)
  const run = (await runsIn(room.home)).find((name) => !before.has(name))
  const left = run === undefined ? undefined : await peek(room.home, run)
  if (left?.ended === 'finished') return isKilled
  const checkpoints = await checkpointsOf(left)
  expect(checkpoints).toEqual(expected.checkpoints.slice(0, checkpoints.length))
  const goesOn = left?.snapshots.some((snapshot) => snapshot.seq <= left.signedSeq) === true ? left.run : undefined
  const options = ['--json', '-o', 'r.reprise']
  const command =
    goesOn === undefined ? ['run', ...options, ...expected.grid, ...words] : ['resume', ...options, goesOn]
  await expectEnds(room, expected, { ...(await room.reprise(command, { cwd })), cwd })
  return isKilled
}

/** Five checkpoints, one drawn from each fifth of the run. */
export function drawnChain({ checkpoints }: Whole, random: () => number): number[] {
  const last = checkpoints.length - 2
  return Array.from({ length: 5 }, (_, fifth) => Math.trunc(((fifth + random()) / 5) * last))
}
