/** Runs that are cut off go on inside the same proof, and are repeated in parts. */
import { readFile, rename, rm, stat, truncate, writeFile, chmod } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { decodeManifestBytes } from '../../packages/core/src/index.ts'
import { openBlobStore } from '../../packages/runner/src/blobs/index.ts'
import type { JournalRun } from '../../packages/runner/src/journal/index.ts'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { journalOf as journalPath, peek as peekIn, peekHeld, randomFrom, runsIn, SEED } from './journals.ts'
import { guest, json, namesIn, node24, Room, type Answer, type RunAnswer, type Running } from './room.ts'

const NIGHTLY = process.env['REPRISE_TESTS'] === 'nightly'
const OFTEN = ['--snapshot-ms', '150']
/** Checkpoints many times a second; for what has much memory to hash, several times. */
const FINE = ['--checkpoint', 'every=100000000']
const COARSE = ['--checkpoint', 'every=200000000']

const PYTHON = `import random, time
with open('log.txt', 'a') as log:
    for i in range(20):
        x = 0
        for k in range(40000): x = (x * 31 + k) % 1000003
        log.write(f'{i} {x} {random.random()} {time.time()}\\n')
        log.flush()
        print(i, random.randrange(1000), flush=True)
`
const RUBY = `File.open('o.txt', 'w') do |f|
  4.times { |i| s = 0; 100_000.times { |k| s = (s * 31 + k) % 1_000_003 }; f.puts "#{i} #{s} #{rand}"; puts i }
end
`
const PHP = `<?php $f = fopen('o.txt', 'w');
for ($i = 0; $i < 60; $i++) {
  for ($s = $k = 0; $k < 300000; $k++) $s = ($s * 31 + $k) % 1000003;
  fwrite($f, "$i $s " . random_int(0, 1000000) . "\\n"); echo "$i\\n";
}
`
const JAVASCRIPT = `import * as std from 'std'
const f = std.open('o.txt', 'w')
for (let i = 0; i < 90; i++) {
  let s = 0
  for (let k = 0; k < 100000; k++) s = (s * 31 + k) % 1000003
  f.puts(\`\${i} \${s} \${Math.random()}\\n\`)
  print(i)
}
f.close()
`
const SQL = [
  'create table t(a, b);',
  'with recursive c(x) as (select 1 union all select x + 1 from c where x < 1200000) insert into t select x, random() from c;',
  'select count(*), max(b) from t;',
]
const SPIN = [
  'say',
  'ready',
  'append',
  'o.txt',
  'one',
  'random',
  'spin',
  '1400',
  'append',
  'o.txt',
  'two',
  'time',
  'random',
]

interface Program {
  readonly words: readonly string[]
  readonly files: Readonly<Record<string, string | Uint8Array>>
  readonly output: string
  readonly grid: readonly string[]
}

let room: Room
let programs: Readonly<Record<'python' | 'C' | 'sqlite' | 'qjs' | 'ruby' | 'php', Program>>
beforeAll(async () => {
  room = await Room.create()
  programs = {
    python: {
      words: ['python', 'a.py'],
      files: { 'a.py': PYTHON, 'log.txt': 'before\n' },
      output: 'log.txt',
      grid: COARSE,
    },
    C: { words: ['guest.wasm', ...SPIN], files: { 'guest.wasm': await guest() }, output: 'o.txt', grid: FINE },
    sqlite: { words: ['sqlite', 'o.db', ...SQL], files: {}, output: 'o.db', grid: FINE },
    qjs: { words: ['qjs', 'a.js'], files: { 'a.js': JAVASCRIPT }, output: 'o.txt', grid: FINE },
    ruby: { words: ['ruby', 'a.rb'], files: { 'a.rb': RUBY }, output: 'o.txt', grid: FINE },
    php: { words: ['php', 'a.php'], files: { 'a.php': PHP }, output: 'o.txt', grid: FINE },
  }
})
afterAll(() => room[Symbol.asyncDispose]())

const random = randomFrom(SEED)
const journalOf = (run: string): string => journalPath(room.home, run)
const runs = (): Promise<string[]> => runsIn(room.home)
const peek = (run: string): Promise<JournalRun | undefined> => peekIn(room.home, run)
const signedSnapshots = (run: JournalRun | undefined): number =>
  run?.snapshots.filter(({ seq }) => seq <= run.signedSeq).length ?? 0

interface Cut {
  readonly run: string
  readonly folder: string
}

/** Waits for `count` more signed snapshots and then a random while; then ends the command by `signal`. */
async function cut(
  run: string,
  { child, ended }: Running,
  signal: NodeJS.Signals,
  count = 1,
  delayMs = 300,
): Promise<Answer> {
  const before = signedSnapshots(await peek(run))
  while (signedSnapshots(await peekHeld(child, room.home, run)) < before + count && child.exitCode === null)
    await sleep(20)
  await sleep(random() * delayMs)
  child.kill(signal)
  return await ended
}

/**
 * Starts a program and cuts it off. A fast machine may have ended it just before: then it is tried again, with less
 * patience each time.
 */
async function startAndCut(program: Program, signal: NodeJS.Signals = 'SIGKILL', count?: number): Promise<Cut> {
  for (const delayMs of [300, 100, 30, 10, 0, 0, 0, 0]) {
    const folder = await room.newFolder(program.files)
    const before = new Set(await runs())
    const running = room.start(['run', '-o', 'r.reprise', ...OFTEN, ...program.grid, ...program.words], { cwd: folder })
    let run: string | undefined
    while (run === undefined && running.child.exitCode === null) {
      run = (await runs()).find((name) => !before.has(name))
      await sleep(20)
    }
    if (run === undefined) throw new Error((await running.ended).stderr)
    await cut(run, running, signal, count, delayMs)
    const left = await peek(run)
    if (left !== undefined && left.ended !== 'finished' && left.outcome === null) return { run, folder }
  }
  throw new Error('the program is too short for this test')
}

async function resume(folder: string, name: string, options: readonly string[] = []): Promise<Answer> {
  return await room.reprise(['resume', '--json', '-o', 'r.reprise', ...options, name], { cwd: folder })
}

interface Whole extends RunAnswer {
  readonly file: Buffer
}

/** What the program gives when nothing happens to it: measured once for each, without a snapshot. */
const wholes = new Map<Program, Promise<Whole>>()
function whole(program: Program): Promise<Whole> {
  const known = wholes.get(program) ?? runWhole(program, ['--no-snapshots'])
  wholes.set(program, known)
  return known
}
async function runWhole(program: Program, options: readonly string[]): Promise<Whole> {
  const cwd = await room.newFolder(program.files)
  const words = ['run', '--json', '-o', 'r.reprise', ...program.grid, ...options, ...program.words]
  const answer = await room.reprise(words, { cwd })
  expect(answer).toMatchObject({ code: 0 })
  return { ...json<RunAnswer>(answer), file: await readFile(join(cwd, program.output)) }
}

interface Verified {
  readonly evidence: string
  readonly findings: readonly { readonly code: string }[]
}
async function verify(folder: string): Promise<Verified> {
  return json<Verified>(await room.reprise(['verify', '--json', 'r.reprise'], { cwd: folder }))
}

/** The run in `folder` went on to its end: everything is as if it had never been cut off. */
async function expectWhole(program: Program, folder: string, resumed: Answer): Promise<void> {
  const { cumulative, outputs, exit, checkpoints, file } = await whole(program)
  expect(resumed).toMatchObject({ code: 0 })
  expect(json(resumed)).toMatchObject({ cumulative, outputs, exit, checkpoints, signedCheckpoints: checkpoints })
  expect(Buffer.compare(await readFile(join(folder, program.output)), file)).toBe(0)
  const { evidence, findings } = await verify(folder)
  expect({ evidence, codes: findings.map(({ code }) => code) }).toEqual({
    evidence: 'verified',
    codes: ['SELF_ENROLLED'],
  })
}

describe('a run that was killed', () => {
  describe.runIf(NIGHTLY)('goes on and gives what it would have given', () => {
    test.each(Array.from({ length: 40 }, (_, i) => i + 1))('Python, %i', async (count) => {
      const { folder } = await startAndCut(programs.python, 'SIGKILL', 1 + (count % 4))
      await expectWhole(programs.python, folder, await resume(folder, 'last'))
    })

    // kill-runtimes.slow.test.ts kills these and more, many times.
    test.each(['C', 'sqlite', 'qjs', 'ruby', 'php'] as const)('%s', async (name) => {
      const { folder } = await startAndCut(programs[name])
      await expectWhole(programs[name], folder, await resume(folder, 'last'))
    })
  })

  test('goes on when it is killed again while it goes on', async () => {
    const program = programs.python
    const { run, folder } = await startAndCut(program)
    expect(await namesIn(folder)).toEqual(['a.py', 'log.txt'])
    expect(await readFile(join(folder, 'log.txt'), 'utf8')).toBe('before\n')
    await cut(run, room.start(['resume', '-o', 'r.reprise', ...OFTEN, run], { cwd: folder }), 'SIGKILL')
    expect((await peek(run))?.attempts).toHaveLength(2)
    await expectWhole(program, folder, await resume(folder, 'last'))
    expect(
      (await peek(run))?.attempts.map(({ attempt, firstSeq, from }) => [attempt, firstSeq - (from ?? -1)]),
    ).toEqual([
      [1, 1],
      [2, 1],
      [3, 1],
    ])
  })

  test('goes on when the last line of its journal is torn', async () => {
    const { run, folder } = await startAndCut(programs.C)
    const { size } = await stat(journalOf(run))
    await truncate(journalOf(run), size - 7)
    await expectWhole(programs.C, folder, await resume(folder, run.slice(0, 8)))
  })

  test('goes on under the oldest Node that is supported', async () => {
    const { run, folder } = await startAndCut(programs.C)
    const resumed = await room.reprise(['resume', '--json', '-o', 'r.reprise', run], { cwd: folder, node: node24() })
    await expectWhole(programs.C, folder, resumed)
  })
})

describe('a run that was interrupted', () => {
  test('goes on, also when it is interrupted again before it comes to a checkpoint', async () => {
    const program = programs.python
    const { run, folder } = await startAndCut(program, 'SIGINT')
    expect((await verify(folder)).findings.map(({ code }) => code)).toEqual(['SELF_ENROLLED', 'INCOMPLETE'])
    for (const afterMs of [0, 150, 400]) {
      const { size } = await stat(journalOf(run))
      const again = room.start(['resume', '-o', 'r.reprise', run], { cwd: folder })
      while ((await stat(journalOf(run))).size === size && again.child.exitCode === null) await sleep(5)
      await sleep(afterMs)
      again.child.kill('SIGINT')
      const { code, stderr } = await again.ended
      expect({ code, stderr }).toMatchObject({ code: 130 })
      expect((await verify(folder)).findings.map((finding) => finding.code)).toEqual(['SELF_ENROLLED', 'INCOMPLETE'])
    }
    await expectWhole(program, folder, await resume(folder, run))
  })
})

describe('a run that cannot be gone on with says why', () => {
  const refused = async (name: string, code: number, words: RegExp): Promise<void> => {
    const folder = await room.newFolder()
    const answer = await room.reprise(['resume', name], { cwd: folder })
    expect(answer).toMatchObject({ code, stderr: expect.stringMatching(words) as string })
    expect(await namesIn(folder)).toEqual([])
  }

  test('when it is unknown, has ended, or has no snapshot', async () => {
    const cwd = await room.newFolder({ 'guest.wasm': await guest() })
    const home = room.newHome('empty')
    expect(await room.reprise(['resume', 'last'], { cwd, home })).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('no run is kept in') as string,
    })
    const { run } = json<RunAnswer>(await room.reprise(['run', '--json', 'guest.wasm', 'say', 'x'], { cwd }))
    await refused(run, 2, /it has ended/)
    await refused('0123456789', 2, /no single run/)
    await refused('no run', 2, /no single run/)
    const running = room.start(['run', '--no-snapshots', 'guest.wasm', 'say', 'x', 'flush', 'spin', '100000'], { cwd })
    await new Promise((resolve) => running.child.stdout!.once('data', resolve))
    await refused('last', 2, /another process is at work on this run/)
    running.child.kill('SIGKILL')
    await running.ended
    await refused('last', 2, /no signed snapshot/)
  })

  test('when its snapshot is gone or damaged, and goes on when it is there again', async () => {
    const { run, folder } = await startAndCut(programs.C)
    const store = await openBlobStore(room.home)
    const newest = await peek(run).then((read) => read!.snapshots.filter(({ seq }) => seq <= read!.signedSeq).at(-1)!)
    const { packs, host } = decodeManifestBytes(await store.read(newest.manifest))
    const journal = await readFile(journalOf(run))
    for (const blob of [newest.manifest, newest.frames, host.sha256, packs[0].sha256]) {
      const path = (await store.find(blob))!.path
      await rename(path, path + '.away')
      await refused(run, 125, /neither attached nor on this machine/)
      const bytes = await readFile(path + '.away')
      bytes[bytes.length - 1] ^= 1
      await writeFile(path, bytes)
      await refused(run, 125, /does not hold the bytes that its name says/)
      await rm(path, { force: true })
      await rename(path + '.away', path)
      await chmod(path, 0o400)
    }
    expect(Buffer.compare(await readFile(journalOf(run)), journal)).toBe(0)
    await expectWhole(programs.C, folder, await resume(folder, run))
  })

  test('when another process goes on with it already', async () => {
    const { run, folder } = await startAndCut(programs.C)
    const first = room.start(['resume', '--json', '-o', 'r.reprise', run], { cwd: folder })
    while ((await peek(run))?.attempts.length === 1 && first.child.exitCode === null) await sleep(2)
    // It stands while the other one tries: a fast machine would have ended it.
    first.child.kill('SIGSTOP')
    const late = await resume(folder, run).finally(() => first.child.kill('SIGCONT'))
    expect(late).toMatchObject({ code: 2, stdout: expect.stringContaining('RUN_BUSY') as string })
    await expectWhole(programs.C, folder, await first.ended)
  })
})

describe('snapshots', () => {
  // Of Python many, too, are taken in kill-runtimes.slow.test.ts.
  test.each(NIGHTLY ? (['python', 'C'] as const) : (['C'] as const))(
    'change nothing, however often they are taken: %s',
    async (name) => {
      const program = programs[name]
      const { cumulative, outputs } = await whole(program)
      const often = await runWhole(program, ['--snapshot-ms', '1'])
      expect(often).toMatchObject({ cumulative, outputs })
      expect((often as unknown as { snapshots: number }).snapshots).toBeGreaterThan(3)
    },
  )
})

interface Parts {
  readonly repetition: string
  readonly segments: { readonly total: number; readonly repeated: number }
  readonly confidence: number
}

describe('repeat --segments', () => {
  let folder: string
  let snapshots: JournalRun['snapshots']
  beforeAll(async () => {
    folder = await room.newFolder(programs.C.files)
    const words = ['run', '--json', '--attach', 'all', '-o', 'r.reprise', '--snapshot-ms', '400', ...FINE]
    const ran = await room.reprise([...words, ...programs.C.words], { cwd: folder })
    snapshots = (await peek(json<RunAnswer>(ran).run))!.snapshots
  })
  const inParts = async (which: string, home = room.home): Promise<Answer> =>
    await room.reprise(['repeat', '--json', '--segments', which, '--jobs', '2', join(folder, 'r.reprise')], {
      cwd: await room.newFolder(),
      home,
    })

  test('reproduces all parts, drawn ones and chosen ones', async () => {
    const total = snapshots.length + 1
    expect(total).toBeGreaterThan(2)
    const all = await inParts('all')
    expect(all).toMatchObject({ code: 0 })
    expect(json<Parts>(all)).toMatchObject({
      repetition: 'reproduced',
      segments: { total, repeated: total },
      confidence: 1,
    })
    const drawn = json<Parts>(await inParts('sample:2'))
    expect(drawn).toMatchObject({ repetition: 'reproduced', segments: { total, repeated: 2 } })
    expect(drawn.confidence).toBeGreaterThan(0)
    expect(json<Parts>(await inParts('1..1'))).toMatchObject({ segments: { total, repeated: 1 }, confidence: 0 })
    expect((await inParts(`0..${total}`)).code).toBe(2)
  })

  test('needs nothing but the record when everything is attached', async () => {
    const home = await room.newHost('parts')
    const answer = await inParts('all', home)
    expect(answer).toMatchObject({ code: 0 })
    expect(json<Parts>(answer).repetition).toBe('reproduced')
  })

  test('does not reproduce a snapshot that was exchanged for another one', async () => {
    const store = await openBlobStore(room.home)
    const [first, second] = snapshots
    const path = (await store.find(first.manifest))!.path
    const away = path + '.away'
    await rename(path, away)
    await writeFile(path, await readFile((await store.find(second.manifest))!.path))
    expect(await inParts('all')).toMatchObject({ code: 3, stdout: expect.stringContaining('BLOB_CORRUPT') as string })
    await rm(path, { force: true })
    await rename(away, path)
    expect(await inParts('0..0')).toMatchObject({ code: 0 })
  })

  test('that is interrupted claims nothing', async () => {
    const running = room.start(['repeat', '--json', '--segments', 'all', '--jobs', '1', join(folder, 'r.reprise')], {
      cwd: await room.newFolder(),
    })
    await sleep(700)
    running.child.kill('SIGINT')
    expect(await running.ended).toMatchObject({ code: 130, stdout: '' })
  })
})
