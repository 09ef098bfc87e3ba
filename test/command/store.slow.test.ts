/** What is kept, for how long, and that collecting never takes what somebody needs. */
import type { ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { readRun, resumePoint, type JournalRun } from '../../packages/runner/src/journal/index.ts'
import { openBlobStore } from '../../packages/runner/src/blobs/index.ts'
import { loadRecord, type AttachLevel } from '../../packages/runner/src/record/index.ts'
import { repeat } from '../../packages/runner/src/repeat/index.ts'
import { connectSigner } from '../../packages/host/src/index.ts'
import { guest, json, Room, type RunAnswer } from './room.ts'

const NIGHTLY = process.env['REPRISE_TESTS'] === 'nightly'
const SEED = Number(process.env['REPRISE_TEST_SEED'] ?? 20_261_125)
/** Snapshots and checkpoints several times a second. */
const FINE = ['--snapshot-ms', '60', '--checkpoint', 'every=40000000']
const spinning = (millions: number): readonly string[] => [
  ...['guest.wasm', 'say', 'ready', 'append', 'o.txt', 'one', 'random'],
  ...['spin', String(millions), 'append', 'o.txt', 'two', 'random'],
]
const PROGRAM = spinning(500)
/** For runs that are cut off: a fast machine must not have ended them before. */
const LONG_PROGRAM = spinning(2000)

interface Kept extends RunAnswer {
  readonly snapshots: number
  readonly keptSnapshots: number
  readonly snapshotBytes: { readonly plain: number; readonly stored: number }
}
interface Sizes {
  readonly inputs: { readonly blobs: number }
  readonly snapshots: { readonly blobs: number; readonly plainBytes: number; readonly storedBytes: number }
  readonly unneeded: { readonly blobs: number }
  readonly inUse: { readonly blobs: number }
  readonly temporaries: { readonly files: number }
  readonly runs: readonly { readonly run: string; readonly state: string; readonly snapshots: number }[]
}
interface Collected {
  readonly deleted: boolean
  readonly runs: readonly { readonly run: string }[]
  readonly blobs: number
  readonly storedBytes: number
}

interface Parts {
  readonly repetition: string
  readonly confidence: number
  readonly segments: { readonly total: number; readonly repeated: number }
  readonly results: readonly {
    readonly available: boolean
    readonly reproduced: boolean
    readonly detail: string
  }[]
}

let room: Room
let home: string
let homes = 0
beforeAll(async () => void (room = await Room.create()))
afterAll(() => room[Symbol.asyncDispose]())
beforeEach(async () => void (home = await room.newHost(`h${(homes += 1)}`)))

let state = SEED
function random(): number {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
  return state / 2 ** 32
}

async function folderOf(): Promise<string> {
  return await room.newFolder({ 'guest.wasm': await guest() })
}
async function run(options: readonly string[], words: readonly string[] = PROGRAM): Promise<Kept & { cwd: string }> {
  const cwd = await folderOf()
  const answer = await room.reprise(['run', '--json', '-o', 'r.reprise', ...FINE, ...options, ...words], { cwd, home })
  expect(answer).toMatchObject({ code: 0 })
  return { ...json<Kept>(answer), cwd }
}
async function sizes(): Promise<Sizes> {
  return json<Sizes>(await room.reprise(['store', 'show', '--json'], { cwd: room.folder, home }))
}
async function gc(...options: readonly string[]): Promise<Collected> {
  const answer = await room.reprise(['store', 'gc', '--json', ...options], { cwd: room.folder, home })
  expect(answer).toMatchObject({ code: 0 })
  return json<Collected>(answer)
}
const journalOf = (name: string): string => join(home, 'runs', name, 'journal')
const peek = async (name: string): Promise<JournalRun> => {
  const { run: read } = await readRun(journalOf(name))
  if (read === undefined) throw new Error('the journal has no line yet')
  return read
}
async function runs(): Promise<string[]> {
  const names = await readdir(join(home, 'runs')).catch(() => [])
  return names.filter((name) => /^[0-9a-f]{64}$/.test(name))
}
const signedSnapshots = async (name: string): Promise<number> => {
  const read = await peek(name).catch(() => undefined)
  return read?.snapshots.filter(({ seq }) => seq <= read.signedSeq).length ?? 0
}

describe('--keep-snapshots', () => {
  test('keeps all of them unless it is asked to', async () => {
    const { snapshots, keptSnapshots: kept, snapshotBytes } = await run([])
    expect(snapshots).toBeGreaterThan(3)
    expect(kept).toBe(snapshots)
    expect([snapshotBytes.plain > 0, snapshotBytes.stored > 0]).toEqual([true, true])
    expect((await sizes()).runs).toMatchObject([{ state: 'ended', snapshots }])
  })

  test('2 keeps the newest two, which can be repeated from; the others are only named', async () => {
    const { cwd, run: name, snapshots, keptSnapshots: kept } = await run(['--keep-snapshots', '2', '--attach', 'all'])
    expect([snapshots > 3, kept]).toEqual([true, 2])
    const { runs: known, unneeded } = await sizes()
    expect([known, unneeded.blobs]).toMatchObject([[{ snapshots: 2 }], 0])
    const store = await openBlobStore(home)
    const { snapshots: lines } = await peek(name)
    const there = await Promise.all(lines.map(({ manifest }) => store.has(manifest)))
    expect(there).toEqual(lines.map((_, i) => i >= lines.length - 2))
    const segments = lines.map((_, i) => i + 1)
    const verified = await room.reprise(['verify', '--json', 'r.reprise'], { cwd })
    expect(verified).toMatchObject({ code: 0 })
    const attached = { segments: [0, ...segments.slice(-2)], snapshots: 2 }
    expect(json(verified)).toMatchObject({ segments: { total: lines.length + 1 }, attached })
    const shown = await room.reprise(['verify', 'r.reprise'], { cwd })
    expect(shown.stdout).toContain(`carries the snapshots of 0, ${segments.at(-2)} to ${segments.at(-1)}, the other`)
  })

  test('is none for a repetition, unless its record carries them', async () => {
    const { cwd, run: original, snapshots } = await run([])
    const store = await openBlobStore(home)
    await using signer = await connectSigner({ home, tpm: 'software' })
    const repeated = async (attach: AttachLevel) => {
      await using record = await loadRecord(join(cwd, 'r.reprise'))
      const recordPath = join(cwd, `${attach}.reprise`)
      const request = { original: record, store, home, signer: Promise.resolve(signer), recordPath, attach }
      return await repeat({ ...request, inputsFolder: cwd, continue: false, snapshotMs: 60 })
    }
    const { repetition, run: own } = await repeated('outputs')
    expect([repetition, own?.keptSnapshots, (own?.snapshots ?? 0) > 1]).toEqual(['reproduced', 0, true])
    expect((await sizes()).runs).toMatchObject([{ snapshots: 0 }, { run: original, snapshots }])
    expect((await gc('--yes')).blobs).toBe(0)
    const whole = await repeated('all')
    expect(whole.run?.keptSnapshots).toBe(whole.run?.snapshots)
  })

  test('2 leaves parts that cannot be repeated: they are named, and nothing is claimed of them', async () => {
    const { cwd, snapshots } = await run(['--keep-snapshots', '2', '--attach', 'all'])
    const elsewhere = await room.newHost(`e${homes}`)
    for (const [place, which] of [
      [home, 'all'],
      [elsewhere, `sample:${snapshots + 1}`],
    ]) {
      const words = ['repeat', '--json', '--jobs', '2', 'r.reprise', '--segments']
      const inParts = async (parts: string) => {
        const answer = await room.reprise([...words, parts], { cwd, home: place })
        return { code: answer.code, ...json<Parts>(answer) }
      }
      const all = await inParts(which)
      expect(all).toMatchObject({ code: 3, repetition: 'incomplete', confidence: 0 })
      expect(all.segments).toEqual({ total: snapshots + 1, repeated: 3 })
      const expected = Array.from({ length: snapshots + 1 }, (_, i) => i === 0 || i > snapshots - 2)
      expect(all.results.map(({ available }) => available)).toEqual(expected)
      expect(all.results.map(({ reproduced }) => reproduced)).toEqual(expected)
      expect(all.results[1].detail).toContain('neither attached nor on this machine')
      expect(await inParts('0..0')).toMatchObject({ code: 0, repetition: 'reproduced' })
    }
    // What is only compared at the end of a part is not kept.
    expect((await sizes()).unneeded).toMatchObject({ blobs: 0 })
  })

  test('none keeps none once the run has ended, and the one to go on from until then', async () => {
    const { snapshots, keptSnapshots: kept, snapshotBytes } = await run(['--keep-snapshots', 'none'])
    expect([snapshots > 3, kept, snapshotBytes]).toEqual([true, 0, { plain: 0, stored: 0 }])
    expect(await sizes()).toMatchObject({ snapshots: { blobs: 0 }, unneeded: { blobs: 0 } })

    const cwd = await folderOf()
    const before = new Set(await runs())
    const running = room.start(['run', '-o', 'r.reprise', ...FINE, '--keep-snapshots', 'none', ...LONG_PROGRAM], {
      cwd,
      home,
    })
    const name = await newRun(before, running.child)
    while ((await signedSnapshots(name)) < 2 && running.child.exitCode === null) await sleep(20)
    running.child.kill('SIGINT')
    const { code, stderr } = await running.ended
    expect([code, stderr]).toEqual([130, expect.stringContaining('1 kept')])
    expect((await sizes()).runs.find((known) => known.run === name)).toMatchObject({ state: 'resumable', snapshots: 1 })
    await gc('--yes')
    const resumed = await room.reprise(['resume', '--json', '-o', 'r.reprise', name], { cwd, home })
    expect(resumed).toMatchObject({ code: 0 })
    expect(json<Kept>(resumed)).toMatchObject({ keptSnapshots: 0 })
    expect(await sizes()).toMatchObject({ snapshots: { blobs: 0 }, unneeded: { blobs: 0 } })
  })

  test('takes a number above 0, all or none', async () => {
    const cwd = await folderOf()
    for (const value of ['0', '-1', 'some', '1.5', ''])
      expect(await room.reprise(['run', '--keep-snapshots', value, 'guest.wasm'], { cwd, home })).toMatchObject({
        code: 2,
      })
  })
})

async function newRun(before: ReadonlySet<string>, child: ChildProcess): Promise<string> {
  for (;;) {
    const found = (await runs()).find((name) => !before.has(name))
    if (found !== undefined) return found
    if (child.exitCode !== null || child.signalCode !== null) throw new Error('the run has ended')
    await sleep(10)
  }
}

describe('reprise store gc', () => {
  test('shows what it would delete, and deletes it when it is told to', async () => {
    const first = await run(['--seed', '1'])
    const second = await run(['--seed', '2'])
    expect(await gc()).toMatchObject({ deleted: false, runs: [], blobs: 0 })
    const plan = await gc('--keep-runs', '1')
    expect(plan).toMatchObject({ deleted: false, runs: [{ run: first.run }] })
    expect(plan.blobs).toBeGreaterThan(first.snapshots)
    expect((await sizes()).runs).toHaveLength(2)
    expect(await gc('--keep-runs', '1', '--yes')).toEqual({ ...plan, deleted: true })
    const left = await sizes()
    expect(left).toMatchObject({ unneeded: { blobs: 0 }, inUse: { blobs: 0 } })
    expect(left.runs).toMatchObject([{ run: second.run, snapshots: second.snapshots }])
    const words = ['repeat', '--segments', 'all', 'r.reprise']
    expect(await room.reprise(words, { cwd: second.cwd, home })).toMatchObject({ code: 0 })
    expect(await gc('--older-than', '1', '--yes')).toMatchObject({ runs: [] })
    expect(await gc('--keep-runs', '0', '--yes')).toMatchObject({ runs: [{ run: second.run }] })
    expect(await readdir(join(home, 'runs'))).toEqual(['outputs.jsonl'])
    expect(await sizes()).toMatchObject({ inputs: { blobs: 0 }, snapshots: { blobs: 0 }, unneeded: { blobs: 0 } })
    expect(await room.reprise(['verify', 'r.reprise'], { cwd: first.cwd, home })).toMatchObject({ code: 0 })
    expect(await room.reprise(['repeat', 'r.reprise'], { cwd: first.cwd, home })).toMatchObject({ code: 0 })
  })

  test('takes what killed commands have left, and keeps what can be gone on with', async () => {
    const cwd = await folderOf()
    const running = room.start(['run', ...FINE, '--seed', '3', ...LONG_PROGRAM], { cwd, home })
    const name = await newRun(new Set(), running.child)
    while ((await signedSnapshots(name)) < 2 && running.child.exitCode === null) await sleep(10)
    running.child.kill('SIGKILL')
    await running.ended
    const store = join(home, 'blobs', 'sha256')
    await writeFile(join(store, '.reprise-0123456789abcdef.tmp'), 'half')
    await writeFile(join(home, 'cache', 'wasm', '.reprise-0123456789abcdef.tmp'), 'half')
    expect((await sizes()).temporaries.files).toBeGreaterThanOrEqual(2)
    await gc('--keep-runs', '0', '--older-than', '0', '--yes')
    expect(await sizes()).toMatchObject({ temporaries: { files: 0 }, unneeded: { blobs: 0 } })
    expect((await sizes()).runs).toMatchObject([{ run: name, state: 'resumable' }])
    expect(await readdir(join(home, 'blobs', 'pins'))).toEqual([])
    expect(await room.reprise(['resume', name], { cwd, home })).toMatchObject({ code: 0 })
  })

  test('deletes nothing when it cannot tell what a run needs', async () => {
    const { run: name } = await run([])
    const journal = await readFile(journalOf(name))
    journal[20] ^= 1
    await writeFile(journalOf(name), journal)
    const answer = await room.reprise(['store', 'gc', '--keep-runs', '0', '--yes'], { cwd: room.folder, home })
    expect(answer).toMatchObject({ code: 3, stderr: expect.stringMatching(/JOURNAL_DAMAGED .*\/journal/) as string })
    expect(existsSync(journalOf(name))).toBe(true)
    expect(existsSync(join(home, 'blobs', 'collecting'))).toBe(false)
  })
})

describe('collecting beside everything else', () => {
  test('never takes what runs need, whoever is killed when', async () => {
    const whole = await run(['--no-snapshots'], spinning(700))
    const until = Date.now() + (NIGHTLY ? 600_000 : 0)
    let attempts = 0
    let collections = 0
    let collected = 0
    let resumed = 0
    let isOver = false
    const hasAllHappened = (): boolean => attempts > 1 && collections > 1 && collected > 0 && resumed > 0
    const collector = async (): Promise<void> => {
      while (!isOver) {
        const words = ['store', 'gc', '--json', '--yes', '--keep-runs', '0']
        const { child, ended } = room.start(words, { cwd: room.folder, home })
        const kill = random() < 0.4 ? setTimeout(() => child.kill('SIGKILL'), 200 + random() * 400) : undefined
        const answer = await ended
        clearTimeout(kill)
        if (answer.code === 137) continue
        expect(answer).toMatchObject({ code: 0, stderr: '' })
        collections += 1
        collected += json<Collected>(answer).blobs
      }
    }
    /** One run, killed and resumed until it ends. */
    const runner = async (keep: string): Promise<void> => {
      while (Date.now() < until || !hasAllHappened()) {
        const cwd = await folderOf()
        let words: readonly string[] = [
          'run',
          ...FINE,
          '--keep-snapshots',
          keep,
          '--json',
          '-o',
          'r.reprise',
          ...spinning(700),
        ]
        for (;;) {
          const before = new Set(await runs())
          const { child, ended } = room.start(words, { cwd, home })
          const name = words[0] === 'resume' ? words.at(-1) : await newRun(before, child).catch(() => undefined)
          // However slow the machine is, some are killed when there is something to go on from.
          if (name !== undefined && random() < 0.6)
            while ((await signedSnapshots(name)) === 0 && child.exitCode === null) await sleep(10)
          const kill = random() < 0.7 ? setTimeout(() => child.kill('SIGKILL'), random() * 800) : undefined
          const answer = await ended
          clearTimeout(kill)
          attempts += 1
          if (answer.code !== 137) {
            expect(answer).toMatchObject({ code: 0 })
            const { cumulative, outputs } = json<RunAnswer>(answer)
            expect({ cumulative, outputs }).toEqual({ cumulative: whole.cumulative, outputs: whole.outputs })
            break
          }
          // Killed before there was anything to go on from, or when it had ended already.
          const left = name === undefined ? undefined : await peek(name).catch(() => undefined)
          if (name === undefined || left === undefined || left.ended === 'finished') break
          if (resumePoint(left) === undefined) break
          resumed += 1
          words = ['resume', ...FINE.slice(0, 2), '--json', '-o', 'r.reprise', name]
        }
      }
    }
    const collecting = collector()
    await runner('1').finally(() => (isOver = true))
    await collecting
    await gc('--yes')
    expect(await sizes()).toMatchObject({ unneeded: { blobs: 0 }, temporaries: { files: 0 } })
  })
})

/** A store of its own on a small disk; when the run has failed there, the disk grows. */
const ON_SMALL_DISK = `mount -t tmpfs -o size=3m none "$PLACE" || exit 99
mkdir "$PLACE/sha256"
"$@" run -o r.reprise --json --snapshot-ms 100 --checkpoint every=40000000 guest.wasm say ready fill keep.bin 1 spin 1500 fill more.bin 2 spin 1000
echo "first $?"
find "$PLACE/sha256" -name '.reprise-*'
mount -o remount,size=64m "$PLACE" || exit 98
"$@" resume -o r.reprise last
echo "then $?"`

test.runIf(process.getuid?.() === 0)(
  'a disk that is full while a snapshot is written stops the run, which goes on later',
  async () => {
    const cwd = await folderOf()
    expect(await room.reprise(['run', '-o', 'first.reprise', 'guest.wasm'], { cwd, home })).toMatchObject({ code: 0 })
    const env = { PLACE: join(home, 'blobs') }
    const { stdout } = await room.reprise([], {
      cwd,
      home,
      env,
      wrap: ['unshare', '--mount', 'sh', '-c', ON_SMALL_DISK, 'sh'],
    })
    expect(stdout).toMatch(/"code":"DISK_FULL".*\nfirst 125\n[^]*then 0\n$/)
    expect(stdout).not.toContain('.tmp')
    expect(await room.reprise(['verify', 'r.reprise'], { cwd })).toMatchObject({ code: 0 })
  },
)
