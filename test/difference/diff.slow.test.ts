/** `reprise diff` down to the step, as a user runs it. */
import { readFileSync } from 'node:fs'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { bytesSource, CHECKPOINTS_ENTRY, openRecord, utf8 } from '@reprise/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { guest, json, Room } from '../command/room.ts'
import { pack, type Entry } from '../record/pack.ts'
import { draw, drawingModule, forgetDrawn, i32, loadDrawn, turns } from './pair.ts'

let room: Room
beforeAll(async () => {
  room = await Room.create()
})
afterAll(() => room[Symbol.asyncDispose]())

interface StepAnswer {
  readonly checkpoint: number
  readonly lastEqualCheckpoint: number | null
  readonly differs: readonly string[]
  readonly steps: { readonly from: string; readonly to: string } | null
  readonly noSteps?: string
  readonly parts: readonly string[]
  readonly call: { readonly name: string; readonly path: string | null; readonly offset: number | null } | null
  readonly memory: { readonly as: readonly { readonly type: string; readonly a: string; readonly b: string }[] } | null
  readonly script: { readonly file: string; readonly line: number; readonly function: string } | null
  readonly stackValue: unknown
}
interface DiffAnswer {
  readonly cause: string
  readonly explanation: string
  readonly firstDivergence: StepAnswer
  readonly pageCount: number | null
  readonly reproduced: { readonly a: boolean | null; readonly b: boolean | null }
}

async function run(folder: string, name: string, words: readonly string[]): Promise<void> {
  const command = ['run', '--no-write-back', '-o', name, ...words]
  expect(await room.reprise(command, { cwd: folder })).toMatchObject({ code: 0 })
}

async function diff(folder: string, ...options: string[]): Promise<DiffAnswer> {
  const answer = await room.reprise(['diff', '--json', ...options, 'a.reprise', 'b.reprise'], { cwd: folder })
  expect({ ...answer, stdout: answer.code === 1 ? '' : answer.stdout }).toEqual({ code: 1, stderr: '', stdout: '' })
  return json(answer)
}

describe('of a Python script', () => {
  const SCRIPT = [
    'import sys',
    '',
    'class Table:',
    '    def read(self, path):',
    '        with open(path) as file:',
    '            return [float(row) for row in file]',
    '',
    'def total(path):',
    '    rows = Table().read(path)',
    '    return sum(rows)',
    '',
    'print(total("data.txt"))',
  ]

  async function folderWith(): Promise<string> {
    return await room.newFolder({ 'sum.py': `${SCRIPT.join('\n')}\n`, 'data.txt': '1.5\n2.5\n' })
  }

  test('that reads a changed value names the line that reads it, and who called it', async () => {
    const folder = await folderWith()
    const words = ['--input', 'sum.py', '--input', 'data.txt', 'python', 'sum.py']
    await run(folder, 'a.reprise', words)
    await writeFile(join(folder, 'data.txt'), '1.5\n2.6\n')
    await run(folder, 'b.reprise', words)
    const before = await readdir(join(room.home, 'blobs', 'sha256'), { recursive: true })
    const answer = await diff(folder)
    const { firstDivergence, cause, explanation, reproduced } = answer
    expect(firstDivergence.call).toMatchObject({ name: 'fd_read', path: 'data.txt', offset: 0 })
    expect(firstDivergence.script).toEqual({
      file: '/sum.py',
      line: 1 + SCRIPT.findIndex((line) => line.includes('for row in file')),
      function: 'Table.read.<locals>.<listcomp>',
      stack: [
        { file: '/sum.py', line: 6, function: 'Table.read.<locals>.<listcomp>' },
        { file: '/sum.py', line: 6, function: 'Table.read' },
        { file: '/sum.py', line: 9, function: 'total' },
        { file: '/sum.py', line: 12, function: '<module>' },
      ],
    })
    expect(firstDivergence.memory?.as[0]).toEqual(
      expect.objectContaining({ type: 'text', a: '"1.5\\n2.5\\n"', b: '"1.5\\n2.6\\n"' }),
    )
    expect({ cause, reproduced }).toEqual({ cause: 'input', reproduced: { a: true, b: true } })
    expect(explanation).toContain('It came in by fd_read of data.txt at byte 0.')
    // What was needed to find it is not left behind.
    expect(await readdir(join(room.home, 'blobs', 'sha256'), { recursive: true })).toEqual(before)

    const { stdout } = await room.reprise(['diff', 'a.reprise', 'b.reprise'], { cwd: folder })
    expect(stdout).toMatch(/first step that differs: behind position \d+, at position \d+/)
    expect(stdout).toContain('script: /sum.py, line 6, in Table.read.<locals>.<listcomp>')
    expect(stdout).toMatch(/^ +byte \d+ differs$/m)
    const without = await diff(folder, '--steps', 'no')
    expect(without.firstDivergence).toMatchObject({ steps: null, noSteps: expect.stringContaining('--steps no') })
    expect(without.pageCount).toBe(answer.pageCount)
  })

  test('with another argument or another seed names what came in, and the line that asked for it', async () => {
    const folder = await room.newFolder({
      'draw.py': 'import os, sys\nprint(sys.argv[1])\nprint(os.urandom(4).hex())\n',
    })
    const words = (...rest: string[]): string[] => ['--input', 'draw.py', ...rest]
    await run(folder, 'a.reprise', words('python', 'draw.py', 'x'))
    await run(folder, 'b.reprise', words('python', 'draw.py', 'y'))
    // A script that begins warm asks for its arguments in its own way.
    const warm = await diff(folder)
    expect(warm.firstDivergence.call).toMatchObject({
      name: 'path_readlink',
      path: expect.stringContaining('dev/reprise/arguments'),
    })
    expect(warm.explanation).toContain('path_readlink (the arguments)')
    await run(folder, 'c.reprise', words('--cold', 'python', 'draw.py', 'x'))
    await run(folder, 'd.reprise', words('--cold', 'python', 'draw.py', 'y'))
    const cold = await room.reprise(['diff', '--json', 'c.reprise', 'd.reprise'], { cwd: folder })
    expect(json<DiffAnswer>(cold).firstDivergence).toMatchObject({ call: { name: 'args_get' }, script: null })
    await run(folder, 'b.reprise', words('--seed', '5', 'python', 'draw.py', 'x'))
    const seed = await diff(folder)
    expect(seed.firstDivergence).toMatchObject({
      call: { name: 'random_get', path: null },
      script: { file: '/draw.py', line: 3, function: '<module>' },
    })
    expect(seed.explanation).toContain('random_get (the seed)')
  })
})

test('a difference on the stack is found before the checkpoint up to which all are equal', async () => {
  const late = [...i32(64), 0x20, 1, 0x37, 3, 0]
  const code = [...turns(50), ...draw, ...loadDrawn, 0x21, 1, ...forgetDrawn, ...turns(5000), ...late, ...turns(50)]
  const folder = await room.newFolder({ 'm.wasm': drawingModule(code) })
  const words = (seed: string): string[] => ['--checkpoint', 'every=10000', '--seed', seed, 'm.wasm']
  await run(folder, 'a.reprise', words('1'))
  await run(folder, 'b.reprise', words('2'))
  const { firstDivergence, pageCount, reproduced } = await diff(folder)
  expect(firstDivergence.lastEqualCheckpoint).toBeGreaterThan(2)
  expect(firstDivergence).toMatchObject({ parts: ['frames'], call: { name: 'random_get' } })
  expect(Number(firstDivergence.steps?.from)).toBeLessThan(1000)
  expect({ pageCount, reproduced }).toEqual({ pageCount: 1, reproduced: { a: true, b: true } })
})

test('two computations that only their checkpoints tell apart have no step that differs', async () => {
  const folder = await room.newFolder({ 'guest.wasm': await guest() })
  await run(folder, 'a.reprise', ['--checkpoint', 'every=200', 'guest.wasm', 'say', 'x'])
  await run(folder, 'b.reprise', ['--checkpoint', 'every=300', 'guest.wasm', 'say', 'x'])
  const { firstDivergence } = await diff(folder)
  expect(firstDivergence).toMatchObject({ steps: null, noSteps: expect.stringContaining('same states') })
})

test.each([
  ['--seed', '3', 'random_get', ['random']],
  ['--time', '2020-01-01T00:00:00Z', 'clock_time_get', ['time']],
  ['--env', 'NAME=b', 'environ_get', ['env', 'NAME']],
])('%s is named by the call that asks for it', async (flag, value, name, verbs) => {
  const folder = await room.newFolder({ 'guest.wasm': await guest() })
  const first = flag === '--env' ? ['--env', 'NAME=a'] : []
  await run(folder, 'a.reprise', [...first, 'guest.wasm', ...verbs])
  await run(folder, 'b.reprise', [flag, value, 'guest.wasm', ...verbs])
  expect(await diff(folder)).toMatchObject({ cause: 'input', firstDivergence: { call: { name, path: null } } })
})

test('standard input is named by its stream and the place in it', async () => {
  const folder = await room.newFolder({ 'guest.wasm': await guest(), 'one.txt': 'abc', 'two.txt': 'abd' })
  const words = (stdin: string): string[] => ['--input', 'guest.wasm', '--stdin', stdin, 'guest.wasm', 'stdin']
  await run(folder, 'a.reprise', words('one.txt'))
  await run(folder, 'b.reprise', words('two.txt'))
  const { firstDivergence } = await diff(folder)
  expect(firstDivergence.call).toMatchObject({ name: 'fd_read', path: '/dev/stdin', offset: 0 })
})

describe('a repetition that diverges', () => {
  /** What a host that fails or lies would have recorded: another state at a checkpoint. */
  async function forge(path: string, seq: number): Promise<void> {
    const { entries } = await openRecord(bytesSource(new Uint8Array(await readFile(path))))
    const contents: Entry[] = []
    for (const [name, entry] of entries) contents.push({ name, content: await entry.bytes(1 << 30) })
    const checkpoints = contents.find(({ name }) => name === CHECKPOINTS_ENTRY)
    if (checkpoints === undefined) throw new Error('a record has checkpoints')
    const lines = Buffer.from(checkpoints.content).toString().split('\n')
    lines[seq] = lines[seq].replace(/"state":"[0-9a-f]{8}/, '"state":"00000000')
    checkpoints.content = utf8(lines.join('\n'))
    await writeFile(path, await pack(contents))
  }

  test('says which command explains it, and that says which of both this host agrees with', async () => {
    const folder = await room.newFolder({ 'guest.wasm': await guest() })
    await run(folder, 'a.reprise', ['--checkpoint', 'every=200', 'guest.wasm', 'say', 'hello', 'say', 'again'])
    await forge(join(folder, 'a.reprise'), 3)
    const repeated = await room.reprise(['repeat', 'a.reprise'], { cwd: folder })
    expect(repeated.code).toBe(1)
    const next = /^ +next: reprise (diff a\.reprise (\S+))$/m.exec(repeated.stdout)
    const words = next?.[1].split(' ') ?? []
    const answer = await room.reprise([...words, '--json'], { cwd: folder })
    expect(answer.code).toBe(1)
    expect(json<DiffAnswer>(answer)).toMatchObject({
      firstDivergence: { checkpoint: 3, lastEqualCheckpoint: 2, differs: ['state'], steps: null },
      reproduced: { a: false, b: true },
      cause: expect.stringMatching(/^(nondeterminism|environment)$/),
      explanation: expect.stringContaining('Run again here, it comes out as in b, and not as in a.'),
    })
    const { stdout } = await room.reprise(words, { cwd: folder })
    expect(stdout).toContain('run again here, twice, it comes out in one way only')
  })
})

test('a search that is interrupted ends with the code for that, at once and without half an answer', async () => {
  const folder = await room.newFolder({ 'guest.wasm': await guest() })
  await run(folder, 'a.reprise', ['--seed', '1', 'guest.wasm', 'spin', '1500', 'random'])
  await run(folder, 'b.reprise', ['--seed', '2', 'guest.wasm', 'spin', '1500', 'random'])
  const { child, ended } = room.start(['diff', 'a.reprise', 'b.reprise'], { cwd: folder })
  // It begins in a third of that and needs twice as much for the first of its searches.
  while (cpuS(child.pid) < 1.2) await sleep(10)
  child.kill('SIGINT')
  expect(await ended).toMatchObject({ code: 130, stdout: '' })
})

/** Seconds of CPU that a process had, by proc_pid_stat(5): utime and stime, in hundredths. */
function cpuS(pid: number | undefined): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}
