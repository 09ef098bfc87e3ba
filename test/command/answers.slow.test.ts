/** What `diff` finds, and what every command answers with `--json`. */
import { cp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { guest, json, namesIn, Room, type RunAnswer } from './room.ts'

const SCRIPT = `import csv, random
with open("data.csv") as file:
    values = [float(row["value"]) for row in csv.DictReader(file)]
total = 0.0
for n in range(20):
    total += sum(values) * random.random()
with open("result.csv", "w") as file:
    file.write("name,value\\n")
    file.write(f"count,{len(values)}\\n")
    file.write(f"total,{total}\\n")
`
const TABLE = 'value\n' + Array.from({ length: 200 }, (_, n) => `${n / 4}\n`).join('')

let room: Room
beforeAll(async () => {
  room = await Room.create()
})
afterAll(() => room[Symbol.asyncDispose]())

interface DiffAnswer {
  readonly schema: string
  readonly equal: boolean
  readonly definitions: readonly string[]
  readonly firstDivergence: {
    readonly checkpoint: number
    readonly lastEqualCheckpoint: number | null
    readonly position: unknown
    readonly differs: readonly string[]
  } | null
  readonly pages: readonly number[]
  readonly bytes: readonly { readonly address: number; readonly a: number; readonly b: number }[]
  readonly outputs: readonly { readonly path: string; readonly at: Record<string, unknown> }[]
  readonly cause: string | null
}

describe('diff of two runs', () => {
  let folder: string
  beforeAll(async () => {
    folder = await room.newFolder({ 'data.csv': TABLE, 'sum.py': SCRIPT })
    const run = async (name: string, ...options: string[]): Promise<void> => {
      const words = [
        'run',
        '-o',
        join(folder, name),
        '--cold',
        '--checkpoint',
        'every=200000000',
        ...options,
        'python',
        'sum.py',
      ]
      expect(await room.reprise(words, { cwd: copy })).toMatchObject({ code: 0 })
    }
    const copy = await room.newFolder()
    const fresh = async (): Promise<void> => {
      await rm(join(copy, 'result.csv'), { force: true })
      for (const name of ['data.csv', 'sum.py']) await cp(join(folder, name), join(copy, name))
    }
    await fresh()
    await run('a.reprise')
    await fresh()
    await run('same.reprise')
    await fresh()
    await run('seed.reprise', '--seed', '1')
    await fresh()
    await writeFile(join(copy, 'data.csv'), TABLE.replace('\n12.25\n', '\n12.75\n'))
    await run('input.reprise')
    await fresh()
    await writeFile(join(copy, 'sum.py'), SCRIPT.replace('range(20)', 'range(21)'))
    await run('program.reprise')
  })

  async function diff(other: string, code: number, ...options: string[]): Promise<DiffAnswer> {
    const answer = await room.reprise(['diff', '--json', ...options, 'a.reprise', other], { cwd: folder })
    expect(answer).toMatchObject({ code, stderr: '' })
    return json(answer)
  }

  test('that are equal says so, and exits with 0', async () => {
    expect(await diff('same.reprise', 0)).toMatchObject({
      schema: 'reprise/diff-result/v1',
      equal: true,
      definitions: [],
      firstDivergence: null,
      bytes: [],
      outputs: [],
      cause: null,
    })
    const { stdout } = await room.reprise(['diff', 'a.reprise', 'same.reprise'], { cwd: folder })
    expect(stdout).toMatch(/^equal /)
  })

  test('on inputs that differ in a value names checkpoint, bytes, line and value, and the input', async () => {
    const { equal, definitions, firstDivergence, pages, bytes, outputs, cause } = await diff('input.reprise', 1)
    expect({ equal, cause }).toEqual({ equal: false, cause: 'input' })
    expect(definitions.join('\n')).toContain('data.csv')
    // The script reads the table long after Python has begun.
    const checkpoint = firstDivergence?.checkpoint ?? 0
    expect(checkpoint).toBeGreaterThan(0)
    expect(firstDivergence?.lastEqualCheckpoint).toBe(checkpoint - 1)
    expect(pages.length).toBeGreaterThan(0)
    expect(bytes.length).toBeGreaterThan(0)
    for (const { a, b } of bytes) expect(a).not.toBe(b)
    expect(outputs.map(({ path }) => path)).toEqual(['result.csv'])
    expect(outputs[0].at).toMatchObject({ line: 3 })
    expect(Number(outputs[0].at['a'])).not.toBe(Number(outputs[0].at['b']))

    const { stdout } = await room.reprise(['diff', 'a.reprise', 'input.reprise'], { cwd: folder })
    expect(stdout).toMatch(/^different /)
    expect(stdout).toMatch(/checkpoint \d+ is the first that differs/)
    expect(stdout).toMatch(/^ +0x[0-9a-f]{8} +a( +[0-9a-f]{2})+/m)
    expect(stdout).toMatch(/output result\.csv: line 3, column \d+/)
    expect(stdout).toMatch(/likely cause: input\./)
  })

  test('with another seed or another script says which', async () => {
    const seed = await diff('seed.reprise', 1, '--no-rerun')
    expect(seed.definitions.join('\n')).toMatch(/seed/)
    expect(seed.outputs.map(({ path }) => path)).toEqual(['result.csv'])
    const program = await diff('program.reprise', 1, '--no-rerun')
    expect(program.definitions.join('\n')).toMatch(/sum\.py/)
    expect(program.bytes).toEqual([])
  })

  test('does the same from anywhere when the records are with their files', async () => {
    const elsewhere = await room.newFolder()
    for (const name of ['a.reprise', 'input.reprise']) await cp(join(folder, name), join(elsewhere, name))
    const words = ['diff', '--json', 'a.reprise', 'input.reprise']
    const without = await room.reprise(words, { cwd: elsewhere, home: room.newHome('empty') })
    expect(without).toMatchObject({ code: 1 })
    expect(json(without)).toMatchObject({
      cause: 'input',
      bytes: [],
      notCompared: expect.stringMatching(/data\.csv/) as string,
    })
  })
})

test('diff of runs that part outside of the memory says so', async () => {
  const folder = await room.newFolder({ 'guest.wasm': await guest() })
  const run = ['guest.wasm', 'say', 'x']
  expect(await room.reprise(['run', '-o', 'a.reprise', ...run], { cwd: folder })).toMatchObject({ code: 0 })
  await writeFile(join(folder, 'one-more.txt'), '')
  expect(await room.reprise(['run', '-o', 'b.reprise', ...run], { cwd: folder })).toMatchObject({ code: 0 })
  const { code, stdout } = await room.reprise(['diff', 'a.reprise', 'b.reprise'], { cwd: folder })
  expect(code).toBe(1)
  expect(stdout).toMatch(/one-more\.txt[^]*checkpoint 0 is the first that differs, in state[^]*memory there: equal; /)
})

test('diff of records of different programs', async () => {
  const folder = await room.newFolder({ 'guest.wasm': await guest() })
  expect(await room.reprise(['run', '-o', 'a.reprise', 'guest.wasm', 'say', 'x'], { cwd: folder })).toMatchObject({
    code: 0,
  })
  const sqlite = ['run', '-o', 'b.reprise', 'sqlite', ':memory:', 'select 1;']
  expect(await room.reprise(sqlite, { cwd: folder })).toMatchObject({ code: 0 })
  const answer = await room.reprise(['diff', '--json', 'a.reprise', 'b.reprise'], { cwd: folder })
  expect(answer).toMatchObject({ code: 1 })
  expect(json(answer)).toMatchObject({ equal: false, cause: 'program', firstDivergence: { checkpoint: 0 } })
})

test('every command answers --json with one document of its own schema, and nothing else', async () => {
  const folder = await room.newFolder({ 'guest.wasm': await guest() })
  const commands: [string[], string, object][] = [
    [
      ['run', '-o', 'a.reprise', 'guest.wasm', 'say', 'hi', 'complain', 'uh'],
      'run-result',
      {
        exit: { code: 0 },
        snapshots: 0,
        tier: 'software',
        removed: [],
        follows: [],
        overhead: {
          measureMs: expect.any(Number),
          dirtyPages: { method: 'compare', why: expect.any(String) },
          snapshotMs: 0,
          signWaitMs: expect.any(Number),
          runMs: expect.any(Number),
        },
        outputs: [
          { path: '/dev/stderr', length: 3 },
          { path: '/dev/stdout', length: 3 },
        ],
      },
    ],
    [
      ['verify', 'a.reprise'],
      'verify-result',
      {
        evidence: 'verified',
        repetition: 'not-repeated',
        tier: 'software',
        measurer: 'unmeasured',
        enrolment: 'self',
        segments: { total: 1, repeated: 0 },
        confidence: 0,
        checkpoints: 2,
        attestations: 2,
        findings: [{ code: 'SELF_ENROLLED', severity: 'warns' }],
      },
    ],
    [['show', 'a.reprise'], 'show-result', { evidence: 'verified', document: { outcome: { exit: { code: 0 } } } }],
    [
      ['repeat', '-o', 'b.reprise', 'a.reprise'],
      'repeat-result',
      {
        repetition: 'reproduced',
        criteria: [{ criterion: { checkpoints: 'exact' }, met: true }],
        firstDivergence: null,
        record: join(folder, 'b.reprise'),
      },
    ],
    [['diff', 'a.reprise', 'b.reprise'], 'diff-result', { equal: true, firstDivergence: null }],
    [['export', '--format', 'tpm2', 'a.reprise'], 'export-result', { format: 'tpm2', attestations: 2 }],
    [['host', 'init'], 'host-report', { tier: { tier: 'software' } }],
    [['host', 'show'], 'host-report', { tier: { tier: 'software' } }],
    [['verify', 'nowhere.reprise'], 'error', { code: 'INPUT_MISSING' }],
  ]
  for (const [words, schema, fields] of commands) {
    const [command, ...rest] = words
    const at = command === 'host' ? [command, ...rest, '--json'] : [command, '--json', ...rest]
    const answer = await room.reprise(at, { cwd: folder })
    expect(answer.stdout.endsWith('}\n')).toBe(true)
    expect({ at, ...json<object>(answer) }).toMatchObject({ at, schema: `reprise/${schema}/v1`, ...fields })
  }
  expect(await namesIn(folder)).toEqual(['a.reprise', 'a.tpm2', 'b.reprise', 'guest.wasm'])
})

test('the criteria of the record decide a repetition, and are named', async () => {
  const folder = await room.newFolder({ 'guest.wasm': await guest() })
  const words = ['run', '--json', '--compare', 'out.txt=numbers,abs=0.5', 'guest.wasm', 'write', 'out.txt', '1']
  const { record } = json<RunAnswer>(await room.reprise(words, { cwd: folder }))
  const repeated = await room.reprise(['repeat', '--json', record], { cwd: folder })
  expect(repeated).toMatchObject({ code: 0 })
  expect(json(repeated)).toMatchObject({
    criteria: [{ criterion: { output: 'out.txt', compare: { kind: 'numbers', abs: 0.5 } }, met: true }],
  })
})
