/** What cannot be run or read is refused: with the right exit code, in words, and without a trace. */
import { chmod, copyFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { deflateRawSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runsIn } from './journals.ts'
import { type Answer, guest, json, namesIn, Room, type StartOptions } from './room.ts'

const NOBODY = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
const IS_ROOT = process.getuid?.() === 0
const CHANGES = process.env['REPRISE_TESTS'] === 'nightly' ? 5000 : 100

type Part = number | string | readonly number[]
/** Strings stand after their length. */
const bytes = (...parts: readonly Part[]): Uint8Array =>
  new Uint8Array(parts.flatMap((part) => (typeof part === 'string' ? [part.length, ...Buffer.from(part)] : part)))
const section = (id: number, ...parts: readonly Part[]): Uint8Array => {
  const body = bytes(...parts)
  return bytes(id, body.length, [...body])
}
/** A module of the binary format: WebAssembly Core §5.5. */
const moduleOf = (...sections: readonly Uint8Array[]): Uint8Array =>
  bytes([0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00], ...sections.map((each) => [...each]))
const TYPE = section(1, [1, 0x60, 0, 0])
const FUNCTION = section(3, [1, 0])
const CODE = section(10, [1, 2, 0, 0x0b])
const START = section(7, [1], '_start', [0, 0])

let room: Room
let folder: string
beforeAll(async () => {
  room = await Room.create()
  await chmod(room.folder, 0o777)
})
afterAll(() => room[Symbol.asyncDispose]())

/** The command is refused, says so in words, and nothing is left behind. */
async function expectRefusal(
  words: readonly string[],
  expected: { readonly code: number; readonly says: readonly (string | RegExp)[] },
  more: Partial<StartOptions> = {},
): Promise<void> {
  const before = await namesIn(folder)
  const { home = room.home } = more
  const runs = await runsIn(home)
  const answer = await room.reprise(words, { cwd: folder, ...more })
  expect({ words, ...answer }).toMatchObject({ words, code: expected.code })
  const said = answer.stdout + answer.stderr
  for (const text of expected.says) expect(said).toMatch(text)
  expectNoTrace(answer)
  expect(await namesIn(folder)).toEqual(before)
  if (words[0] === 'run') expect({ words, runs: await runsIn(home) }).toEqual({ words, runs })
}

function expectNoTrace({ stdout, stderr }: Answer): void {
  expect(stdout + stderr).not.toMatch(/^\s+at .*:\d+:\d+\)?$|node:internal|UNEXPECTED|Warning:/m)
}

describe('run refuses', () => {
  beforeAll(async () => {
    const whole = await guest()
    folder = await room.newFolder({
      'guest.wasm': whole,
      'text.wasm': 'not a module',
      'empty.wasm': '',
      'cut.wasm': whole.subarray(0, 5000),
      'head.wasm': whole.subarray(0, 8),
      'component.wasm': bytes([0x00, 0x61, 0x73, 0x6d, 0x0d, 0x00, 0x01, 0x00]),
      'no-start.wasm': moduleOf(TYPE, FUNCTION, section(7, [1], 'main', [0, 0]), CODE),
      'import.wasm': moduleOf(
        TYPE,
        section(2, [1], 'env', 'fopen', [0, 0]),
        FUNCTION,
        section(7, [1], '_start', [0, 1]),
        CODE,
      ),
      'threads.wasm': moduleOf(TYPE, FUNCTION, section(5, [1, 3, 1, 1]), START, CODE),
      'script.py': 'print(1)\n',
      native: bytes([0x7f, 0x45, 0x4c, 0x46]),
      'locked/secret.txt': 'x',
    })
    await chmod(folder, 0o777)
  })

  test.each([
    ['no program', ['run'], 2, ['missing required argument']],
    ['an unknown command', ['rum'], 2, [/unknown command/, /Did you mean|--help/]],
    ['an unknown option', ['run', '--sed', '1', 'guest.wasm'], 2, [/unknown option '--sed'/]],
    ['an option without a value', ['run', '--seed'], 2, [/--seed/]],
    ['a wrong seed', ['run', '--seed', 'x', 'guest.wasm'], 2, [/seed "x"/, /try: .*random/]],
    ['a wrong time', ['run', '--time', 'noon', 'guest.wasm'], 2, [/noon/, /try:/]],
    ['a wrong memory', ['run', '--memory', '9', 'guest.wasm'], 2, [/"9"/, /try:/]],
    ['a wrong lag', ['run', '--max-lag-ms', '-1', 'guest.wasm'], 2, [/max-lag-ms/]],
    ['a wrong --attach', ['run', '--attach', 'some', 'guest.wasm'], 2, [/none, outputs, runtime, resume, all/]],
    ['a missing module', ['run', 'nowhere.wasm'], 2, [/INPUT_MISSING.*nowhere\.wasm/, /try:/]],
    ['a missing script', ['run', 'python', 'nowhere.py'], 2, [/INPUT_MISSING.*nowhere\.py/, /try:/]],
    ['a missing input', ['run', '--input', 'nowhere.csv', 'guest.wasm'], 2, [/INPUT_MISSING.*nowhere\.csv/]],
    ['a missing stdin', ['run', '--stdin', 'nowhere.txt', 'guest.wasm'], 2, [/INPUT_MISSING.*nowhere\.txt/]],
    ['an unknown runtime', ['run', 'python3', 'script.py'], 2, [/try: reprise run python script\.py/]],
    ['a script alone', ['run', './script.py'], 2, [/try: reprise run python/]],
    ['a native program', ['run', './native'], 2, [/wasm32-wasip1/]],
    ['a folder', ['run', './locked'], 2, [/locked is a folder/]],
    ['text called .wasm', ['run', 'text.wasm'], 2, [/text\.wasm/, /try:/]],
    ['an empty module', ['run', 'empty.wasm'], 2, [/empty\.wasm/, /try:/]],
    ['a truncated module', ['run', 'cut.wasm'], 2, [/cut\.wasm/]],
    ['a module of a header alone', ['run', 'head.wasm'], 2, [/head\.wasm/, /_start/]],
    ['a component', ['run', 'component.wasm'], 2, [/component\.wasm/, /wasip1/]],
    ['a module without _start', ['run', 'no-start.wasm'], 2, [/no-start\.wasm/, /_start/]],
    ['an import of no WASI', ['run', 'import.wasm'], 2, [/import\.wasm/, /env/, /fopen/]],
    ['a module with threads', ['run', 'threads.wasm'], 2, [/threads\.wasm/, /shared|threads/]],
    ['a folder for the record', ['run', '-o', 'locked', 'guest.wasm'], 2, [/locked/, /folder/]],
    ['no folder for the record', ['run', '-o', 'a/b/c.reprise', 'guest.wasm'], 2, [/a\/b/]],
  ])('%s', async (_, words, code, says) => {
    await expectRefusal(words, { code, says })
  })

  test.runIf(IS_ROOT)('a folder that this user may not read', async () => {
    await chmod(join(folder, 'locked'), 0o700)
    await expectRefusal(
      ['run', 'guest.wasm'],
      { code: 2, says: [/INPUT_UNREADABLE.*locked/, /try: .*--input/] },
      { wrap: NOBODY, home: room.newHome('nobody') },
    )
  })

  test.runIf(IS_ROOT)('a folder that this user may not write the record to, before the program runs', async () => {
    await chmod(folder, 0o755)
    await chmod(join(folder, 'locked'), 0o755)
    const more = { wrap: NOBODY, home: room.newHome('nobody') }
    await expectRefusal(
      ['run', 'guest.wasm', 'say', 'ran'],
      { code: 125, says: [/^error +WRITE .*guest\.reprise/, /try:/] },
      more,
    )
  })

  test('to run with fewer addresses than a machine asks for, in words of its own', async () => {
    // In KiB. The engine of JavaScript needs about three GB of addresses, a guest that may take 4 GiB those besides.
    const wrap = ['sh', '-c', 'ulimit -v 5000000; exec "$@"', 'sh']
    const says = [/^error +MEMORY .*Array buffer/m, /try: .*ulimit -v/]
    await expectRefusal(['run', 'guest.wasm', 'say', 'ran'], { code: 125, says }, { wrap })
  })

  test('with --json in one document', async () => {
    const answer = await room.reprise(['run', '--json', 'nowhere.wasm'], { cwd: folder })
    expect(answer).toMatchObject({ code: 2, stderr: '' })
    expect(json(answer)).toMatchObject({ schema: 'reprise/error/v1', code: 'INPUT_MISSING' })
  })
})

/** One stored or deflated entry as strict readers want it, with whatever sizes and name are claimed. */
function zip(entry: { name: string; data: Uint8Array; sizeBytes: number; method: number }): Uint8Array {
  const { name, data, sizeBytes, method } = entry
  const u16 = (n: number): number[] => [n & 255, (n >> 8) & 255]
  const u32 = (n: number): number[] => [...u16(n & 0xffff), ...u16(n >>> 16)]
  const common = [
    ...u16(0x0800),
    ...u16(method),
    ...u16(0),
    ...u16(0x21),
    ...u32(0),
    ...u32(data.length),
    ...u32(sizeBytes),
    ...u16(name.length),
    ...u16(0),
  ]
  const local = [0x50, 0x4b, 3, 4, ...u16(20), ...common, ...Buffer.from(name)]
  const central = [
    0x50,
    0x4b,
    1,
    2,
    ...u16(0x0314),
    ...u16(20),
    ...common,
    ...u16(0),
    ...u16(0),
    ...u16(0),
    ...u32(0x81a40000),
    ...u32(0),
    ...Buffer.from(name),
  ]
  const at = local.length + data.length
  const end = [
    0x50,
    0x4b,
    5,
    6,
    ...u16(0),
    ...u16(0),
    ...u16(1),
    ...u16(1),
    ...u32(central.length),
    ...u32(at),
    ...u16(0),
  ]
  return Buffer.concat([Buffer.from(local), data, Buffer.from(central), Buffer.from(end)])
}

describe('of what is no record, or a damaged one', () => {
  let record: Uint8Array
  const COMMANDS = [['verify'], ['show'], ['repeat'], ['export', '--format', 'tpm2']]

  beforeAll(async () => {
    const made = await room.newFolder({ 'guest.wasm': await guest(), 'data.csv': '1,2\n' })
    const words = ['guest.wasm', 'read', 'data.csv', 'write', 'out.txt', 'result', 'spin', '100']
    await room.reprise(['run', ...words], { cwd: made })
    await room.reprise(['run', '-o', 'other.reprise', ...words.with(4, 'another')], { cwd: made })
    record = new Uint8Array(await readFile(join(made, 'guest.reprise')))
    folder = await room.newFolder({
      'whole.reprise': record,
      'empty.reprise': '',
      'text.reprise': 'this is no record\n'.repeat(100),
      'random.reprise': new Uint8Array(20_000).map((_, n) => (n * 2654435761) >>> 13),
      'bomb.reprise': zip({
        name: 'ro-crate-metadata.json',
        data: deflateRawSync(new Uint8Array(64 << 20)),
        sizeBytes: 64 << 20,
        method: 8,
      }),
      'lying.reprise': zip({
        name: 'ro-crate-metadata.json',
        data: deflateRawSync(new Uint8Array(64 << 20)),
        sizeBytes: 100,
        method: 8,
      }),
      'claim.reprise': zip({
        name: 'ro-crate-metadata.json',
        data: new Uint8Array(10),
        sizeBytes: 0xffff_fff0,
        method: 8,
      }),
      'path.reprise': zip({ name: '../../escaped', data: new Uint8Array(4), sizeBytes: 4, method: 0 }),
    })
    await copyFile(join(made, 'other.reprise'), join(folder, 'other.reprise'))
  })

  test.each(['empty', 'text', 'random', 'bomb', 'lying', 'claim', 'path'])(
    '%s.reprise is said to be none by every command',
    async (name) => {
      for (const command of COMMANDS) {
        const answer = await room.reprise([...command, `${name}.reprise`], { cwd: folder })
        expect([command, [1, 2].includes(answer.code)]).toEqual([command, true])
        expect(answer.stdout + answer.stderr).toContain(`${name}.reprise`)
        expectNoTrace(answer)
      }
      for (const words of [
        ['whole.reprise', `${name}.reprise`],
        [`${name}.reprise`, 'whole.reprise'],
      ]) {
        const answer = await room.reprise(['diff', ...words], { cwd: folder })
        expect(answer).toMatchObject({ code: 2, stderr: expect.stringContaining(`${name}.reprise`) as string })
        expectNoTrace(answer)
      }
      expect((await namesIn(room.folder)).filter((each) => each.includes('escaped'))).toEqual([])
    },
  )

  test.each(['nowhere.reprise', '.'])('%s is refused as unreadable by every command', async (name) => {
    // Of a folder, verify takes the records that lie in it.
    const commands = COMMANDS.filter(([verb]) => name !== '.' || verb !== 'verify')
    for (const command of [...commands, ['diff', 'whole.reprise']])
      await expectRefusal([...command, name], { code: 2, says: [/INPUT_(MISSING|UNREADABLE)/] })
  })

  test('verify of many answers for each, and the worst decides', async () => {
    const { code, stdout } = await room.reprise(['verify', 'whole.reprise', 'other.reprise'], { cwd: folder })
    expect(code).toBe(0)
    expect(stdout.match(/^verified/gm)).toHaveLength(2)
    const bad = new Uint8Array(record)
    bad[bad.length >> 1] ^= 1
    await writeFile(join(folder, 'bad.reprise'), bad)
    const words = ['verify', '--json', 'empty.reprise', 'whole.reprise', 'bad.reprise']
    const all = await room.reprise(words, { cwd: folder })
    expect(all.code).toBe(1)
    expect(json(all)).toMatchObject({
      schema: 'reprise/verify-results/v1',
      results: [{ code: 'NOT_A_RECORD', record: 'empty.reprise' }, { evidence: 'verified' }, { evidence: 'refuted' }],
    })
    const inFolder = await room.reprise(['verify', '--json', '--jobs', '3', '.'], { cwd: folder })
    expect(inFolder.code).toBe(1)
    const { results } = json(inFolder) as { results: { record: string }[] }
    expect(results.map(({ record: name }) => name)).toEqual(
      (await namesIn(folder)).filter((name) => name.endsWith('.reprise')).sort(),
    )
    const none = await room.reprise(['verify', 'whole.reprise', 'empty.reprise'], { cwd: folder })
    expect(none).toMatchObject({ code: 2, stdout: expect.stringContaining('verified') as string })
  })

  test('cut at any length, it is refused', async () => {
    const lengths = Array.from({ length: 40 }, (_, n) => Math.floor((n * record.length) / 40))
    const judged = await verifyAll([...lengths, record.length - 1].map((length) => record.subarray(0, length)))
    for (const { evidence, code } of judged) expect(evidence ?? code).toBeOneOf(['refuted', 'NOT_A_RECORD'])
  })

  test('with a part of another record, it is refused', async () => {
    const other = new Uint8Array(await readFile(join(folder, 'other.reprise')))
    const cuts = Array.from({ length: 10 }, (_, n) => Math.floor(((n + 1) * record.length) / 11))
    const judged = await verifyAll(cuts.map((at) => Buffer.concat([record.subarray(0, at), other.subarray(at)])))
    for (const { evidence, code } of judged) expect(evidence ?? code).toBeOneOf(['refuted', 'NOT_A_RECORD'])
  })

  test('with one byte changed, it is refused or gives the very same answers', async () => {
    let seed = 20_261_122
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
      return Math.floor((seed / 2 ** 32) * below)
    }
    const changed = Array.from({ length: CHANGES }, () => {
      const copy = new Uint8Array(record)
      copy[random(record.length)] ^= 1 + random(255)
      return copy
    })
    const show = async (content: Uint8Array): Promise<Answer> => {
      await writeFile(join(folder, 'x.reprise'), content)
      return await room.reprise(['show', '--json', 'x.reprise'], { cwd: folder })
    }
    const [whole, ...judged] = await verifyAll([record, ...changed])
    const shown = await show(record)
    let refused = 0
    for (const [n, answer] of judged.entries()) {
      if (answer.evidence === 'verified') {
        expect({ ...answer, record: whole.record }).toEqual(whole)
        expect(await show(changed[n])).toEqual(shown)
        continue
      }
      refused += 1
      const isNamed = answer.findings?.some(({ severity }) => severity === 'refutes') ?? answer.code === 'NOT_A_RECORD'
      expect([n, isNamed]).toEqual([n, true])
    }
    expect(refused).toBeGreaterThan(0.8 * CHANGES)
  })

  interface Judged {
    readonly record: string
    readonly evidence?: string
    readonly code?: string
    readonly findings?: readonly { readonly severity: string }[]
  }

  /** Verifies many files by one command. */
  async function verifyAll(contents: readonly Uint8Array[]): Promise<Judged[]> {
    const names = contents.map((_, n) => `case-${n}.reprise`)
    for (const [n, name] of names.entries()) await writeFile(join(folder, name), contents[n])
    const answer = await room.reprise(['verify', '--json', ...names], { cwd: folder })
    expect(answer.code).toBe(1)
    expectNoTrace(answer)
    const { results } = json<{ results: Judged[] }>(answer)
    expect(results.map(({ record: name }) => name)).toEqual(names)
    return results
  }
})
