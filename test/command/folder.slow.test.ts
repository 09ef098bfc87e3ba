/** What a program gets from the current folder, and what comes back to it. */
import { once } from 'node:events'
import { open, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { RecordDocument } from '@reprise/core'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Answer, guest, json, namesIn, Room, type RunAnswer, type StartOptions } from './room.ts'

const SUM = `import csv
with open("data.csv") as file:
    total = sum(int(row["value"]) for row in csv.DictReader(file))
print(total)
with open("total.csv", "w") as file:
    file.write(f"total\\n{total}\\n")
`

const WALK = `import os
for here, folders, files in os.walk("/"):
    print(here, folders, files)
attempts = {
    "write": lambda: open("in/table.csv", "w"),
    "remove": lambda: os.remove("in/lib/e/x.txt"),
    "rename folder": lambda: os.rename("in", "out"),
}
for name, attempt in attempts.items():
    try:
        attempt()
    except OSError as error:
        print(f"{name}: {error.strerror}")
with open("in/lib/e/new.txt", "w") as file:
    file.write("beside")
`

let room: Room
let program: Uint8Array
let folder: string
beforeAll(async () => {
  room = await Room.create()
  program = await guest()
})
afterAll(() => room[Symbol.asyncDispose]())
beforeEach(async () => {
  folder = await room.newFolder({ 'guest.wasm': program, 'data.csv': 'value\n1\n2\n' })
})

const text = (path: string): Promise<string> => readFile(join(folder, path), 'utf8')
const reprise = (words: readonly string[], more: Partial<StartOptions> = {}): Promise<Answer> =>
  room.reprise(words, { cwd: folder, ...more })

/** Runs the guest with `--json`. */
async function run(words: readonly string[], more: Partial<StartOptions> = {}): Promise<RunAnswer> {
  return json(await reprise(['run', '--json', ...words], more))
}

async function documentOf(record: string): Promise<RecordDocument> {
  return json<{ document: RecordDocument }>(await reprise(['show', '--json', record])).document
}

/** What the program found in its working folder. */
async function inputsOf(record: string): Promise<string[]> {
  const [{ source }] = (await documentOf(record)).computation.mounts
  return source.kind === 'files' ? source.files.map(({ path }) => path) : []
}

/** Starts the guest and waits until it says that it is ready. */
async function startUntilReady(words: readonly string[]) {
  const running = room.start(['run', 'guest.wasm', 'say', 'ready', 'flush', ...words], { cwd: folder })
  await once(running.child.stdout!, 'data')
  return running
}

describe('a program in a folder', () => {
  test('reads what is there and leaves its outputs there', async () => {
    await writeFile(join(folder, 'sum.py'), SUM)
    const { code, stdout, stderr } = await reprise(['run', 'python', 'sum.py'])
    expect({ code, stdout }).toEqual({ code: 0, stdout: '3\n' })
    expect(stderr).toContain('wrote total.csv')
    expect(await text('total.csv')).toBe('total\n3\n')
    expect(await namesIn(folder)).toEqual(['data.csv', 'guest.wasm', 'sum.py', 'sum.reprise', 'total.csv'])
  })

  test('has its outputs written back when it has ended, not before, with new folders', async () => {
    const { ended } = await startUntilReady(['mkdir', 'a', 'mkdir', 'a/b', 'write', 'a/b/c.txt', 'deep', 'spin', '400'])
    const before = await namesIn(folder)
    expect(await ended).toMatchObject({ code: 0 })
    expect(before).toEqual(['data.csv', 'guest.wasm'])
    expect(await text('a/b/c.txt')).toBe('deep')
  })

  test('may change and delete its inputs: a change comes back, a deletion does not', async () => {
    await writeFile(join(folder, 'old.txt'), 'old')
    const { stderr } = await reprise(['run', 'guest.wasm', 'remove', 'data.csv', 'append', 'old.txt', ' and new'])
    expect(stderr).toContain('the program deleted data.csv; your files are still there')
    expect(await text('data.csv')).toBe('value\n1\n2\n')
    expect(await text('old.txt')).toBe('old and new')
    expect((await run(['guest.wasm', 'remove', 'data.csv'])).removed).toEqual(['data.csv'])
  })

  test('with --no-write-back leaves nothing but the record, which carries the outputs', async () => {
    const { outputs, record } = await run(['--no-write-back', 'guest.wasm', 'write', 'out.txt', 'text'])
    expect(await namesIn(folder)).toEqual(['data.csv', 'guest.reprise', 'guest.wasm'])
    expect(outputs).toContainEqual(expect.objectContaining({ path: 'out.txt', length: 4 }))
    expect((await readFile(record)).includes(outputs.find(({ path }) => path === 'out.txt')!.sha256)).toBe(true)
  })

  test('does not replace a file that somebody changed or made meanwhile', async () => {
    const { ended } = await startUntilReady(['spin', '400', 'write', 'data.csv', 'mine', 'write', 'new.txt', 'mine'])
    await writeFile(join(folder, 'data.csv'), 'theirs')
    await writeFile(join(folder, 'new.txt'), 'theirs')
    const { code, stderr } = await ended
    expect(code).toBe(0)
    expect(stderr).toContain('not written: data.csv: somebody changed it while the program ran')
    expect(stderr).toContain('not written: new.txt: a file of that name is there')
    expect([await text('data.csv'), await text('new.txt')]).toEqual(['theirs', 'theirs'])
  })

  test('does not get hidden files, node_modules or records', async () => {
    const left = ['.hidden', 'node_modules/a.js', 'old.reprise', 'deep/.git/config', 'deep/node_modules/b.js']
    const other = await room.newFolder(Object.fromEntries([...left, 'deep/kept.txt'].map((path) => [path, 'x'])))
    const { record } = await run([join(folder, 'guest.wasm')], { cwd: other })
    expect(await inputsOf(record)).toEqual(['deep/kept.txt'])
  })

  test('is refused with the line to type when the folder holds more than 5,000 files', async () => {
    await Promise.all(Array.from({ length: 5000 }, (_, n) => writeFile(join(folder, `many-${n}`), '')))
    const { code, stdout, stderr } = await reprise(['run', 'guest.wasm', 'say', 'hi'])
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(/INPUT_TOO_MUCH.*5,002 files.*\n.*reprise run --input .* guest\.wasm say hi/)
    expect(await namesIn(folder)).toHaveLength(5002)
  })

  test('is refused with the line to type when the folder holds more than 1 GiB', async () => {
    await using big = await open(join(folder, 'big.bin'), 'w')
    await big.truncate(2 ** 30 + 1)
    const { code, stderr } = await reprise(['run', 'guest.wasm'])
    expect(code).toBe(2)
    const line = /reprise (run --input data\.csv --input guest\.wasm guest\.wasm)$/m.exec(stderr)?.[1]
    expect(line).toBeDefined()
    expect(await reprise(line!.split(' '))).toMatchObject({ code: 0 })
  })
})

describe('what the command line says', () => {
  test('--input PATH[:GUEST] gives that and nothing else, listed where it lies, to read and not to change', async () => {
    await writeFile(join(folder, 'other.txt'), 'other')
    await writeFile(join(folder, 'walk.py'), WALK)
    const more = await room.newFolder({ 'd/e/x.txt': 'x' })
    const given = ['--input', 'data.csv:in/table.csv', '--input', `${more}/d:in/lib`, '--input', 'walk.py']
    const { code, stdout, stderr } = await reprise(['run', ...given, 'python', 'walk.py'])
    expect({ code, stdout: stdout.split('\n') }).toEqual({
      code: 0,
      stdout: [
        "/ ['in'] ['walk.py']",
        "/in ['lib'] ['table.csv']",
        "/in/lib ['e'] []",
        "/in/lib/e [] ['x.txt']",
        'write: Read-only file system',
        'remove: Read-only file system',
        'rename folder: Read-only file system',
        '',
      ],
    })
    expect(await inputsOf('walk.reprise')).toEqual(['in/lib/e/x.txt', 'in/table.csv', 'walk.py'])
    expect(stderr).toContain('wrote in/lib/e/new.txt')
    expect(await text('in/lib/e/new.txt')).toBe('beside')
    expect(await text('data.csv')).toBe('value\n1\n2\n')
    expect(await namesIn(join(more, 'd/e'))).toEqual(['x.txt'])
  })

  test('--env is all that the program gets of an environment', async () => {
    const words = ['--env', 'A=b=c', 'guest.wasm', 'env', 'A', 'env', 'LANG', 'env', 'SECRET']
    const { stdout } = await reprise(['run', ...words], { env: { SECRET: 'x', LANG: 'de_DE.UTF-8' } })
    expect(stdout).toBe('b=c\nC.UTF-8\n(unset)\n')
  })

  test('--stdin FILE and --stdin - are the program’s input, which is empty otherwise', async () => {
    const stdin = 'from a pipe'
    expect(await reprise(['run', '--stdin', 'data.csv', 'guest.wasm', 'stdin'])).toMatchObject({
      stdout: 'value\n1\n2\n',
    })
    expect(await reprise(['run', '--stdin', '-', 'guest.wasm', 'stdin'], { stdin })).toMatchObject({ stdout: stdin })
    expect(await reprise(['run', 'guest.wasm', 'stdin'], { stdin })).toMatchObject({ code: 0, stdout: '' })
  })

  test('--seed and --time decide what is random and what time it is; by default always the same', async () => {
    const words = ['guest.wasm', 'random', 'time']
    const said = async (...options: string[]): Promise<string> => (await reprise(['run', ...options, ...words])).stdout
    const plain = await said()
    expect(plain).toMatch(/^[0-9a-f]{16}\n946684800\n$/)
    expect(await said('--seed', '0', '--time', '2000-01-01')).toBe(plain)
    expect(await said('--seed', '1')).not.toBe(plain)
    expect(await said('--time', '2024-05-01T12:00:00Z')).toBe(plain.replace('946684800', '1714564800'))
  })

  test('--seed random and --time now are drawn once and sealed', async () => {
    const words = ['run', '--seed', 'random', '--time', 'now', 'guest.wasm', 'random', 'time']
    const first = await reprise(words)
    const second = await reprise(words)
    expect(first.stdout.slice(0, 16)).not.toBe(second.stdout.slice(0, 16))
    expect(Math.abs(Number(first.stdout.split('\n')[1]) - Date.now() / 1000)).toBeLessThan(600)
    const { computation } = await documentOf('guest.reprise')
    expect(computation.clock.slice(0, 10)).toBe(first.stdout.split('\n')[1])
    expect(await reprise(['repeat', 'guest.reprise'])).toMatchObject({ code: 0 })
    expect((await documentOf('guest.repeat.reprise')).computation).toEqual(computation)
  })

  test('a run on the outputs of an earlier one says that it follows it', async () => {
    // Bytes that no other run of this home has written.
    await writeFile(join(folder, 'data.csv'), 'value\n4\n')
    const first = await run(['guest.wasm', 'write', 'step.txt', 'step 1 of 2'])
    expect(first.follows).toEqual([])
    const second = await run(['guest.wasm', 'read', 'step.txt'])
    expect(second.follows).toEqual([first.run])
    expect((await reprise(['show', second.record])).stdout).toContain(`run ${first.run}`)
    const { stderr } = await reprise(['run', 'guest.wasm', 'read', 'step.txt'])
    expect(stderr).toContain('an input is an output of the earlier run')
  })
})

describe('a computation.yaml', () => {
  test('runs as the same command line does', async () => {
    const yaml = 'program: guest.wasm\narguments: [random, env, A]\nenvironment: {A: b}\nseed: 7\ninputs: [data.csv]\n'
    await writeFile(join(folder, 'c.yaml'), yaml)
    const typed = ['--env', 'A=b', '--seed', '7', '--input', 'data.csv', 'guest.wasm', 'random', 'env', 'A']
    expect((await run(['c.yaml'])).computation).toBe((await run(typed)).computation)
    expect(await namesIn(folder)).toContain('c.reprise')
  })

  test('with mistakes is refused with line and column of each', async () => {
    await writeFile(join(folder, 'c.yaml'), 'program: guest.wasm\nseed: -1\nargs: [x]\n  bad\n')
    const broken = await reprise(['run', 'c.yaml'])
    expect(broken).toMatchObject({ code: 2, stdout: '' })
    expect(broken.stderr).toMatch(/c\.yaml:\d+:\d+: /)
    await writeFile(join(folder, 'c.yaml'), 'program: guest.wasm\nseed: -1\nargs: [x]\n')
    const { code, stderr } = await reprise(['run', 'c.yaml'])
    expect(code).toBe(2)
    expect(stderr).toMatch(/c\.yaml:2:7: .*\n.*c\.yaml:3:1: /)
    expect(await namesIn(folder)).toEqual(['c.yaml', 'data.csv', 'guest.wasm'])
  })
})
