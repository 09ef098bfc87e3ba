/** What was signed comes out as it was signed, or the run stops and keeps both states. */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { SnapshotManifest } from '../../packages/core/src/index.ts'
import { openBlobStore, type BlobStore } from '../../packages/runner/src/blobs/index.ts'
import { lineOf, readRun, type JournalEntry, type JournalRun } from '../../packages/runner/src/journal/index.ts'
import { guest, json, namesIn, Room, type Answer, type RunAnswer } from './room.ts'

const NIGHTLY = process.env['REPRISE_TESTS'] === 'nightly'
const FINE = ['--checkpoint', 'every=100000000']
const WORDS = [
  'guest.wasm',
  'say',
  'ready',
  'append',
  'o.txt',
  'one',
  'random',
  'spin',
  '1200',
  'append',
  'o.txt',
  'two',
]

let room: Room
let program: Uint8Array
beforeAll(async () => {
  room = await Room.create()
  program = await guest()
})
afterAll(() => room[Symbol.asyncDispose]())

interface Killed {
  readonly home: string
  readonly run: string
  readonly journal: string
  readonly read: JournalRun
  /** The newest signed snapshot. */
  readonly snapshot: JournalRun['snapshots'][number]
}

/** A run that was killed when it had signed two snapshots, and checkpoints after the newest one. */
async function killed(name: string): Promise<Killed> {
  // Between the look at the journal and the signal it may sign another snapshot, or end: then once more.
  for (let attempt = 0; attempt < 8; attempt++) {
    const found = await killedOnce(`${name}${attempt}`)
    if (found !== undefined) return found
  }
  throw new Error('the program is too short for this test')
}

async function killedOnce(name: string): Promise<Killed | undefined> {
  const home = await room.newHost(name)
  const cwd = await room.newFolder({ 'guest.wasm': program })
  const { child, ended } = room.start(['run', '-o', 'r.reprise', '--snapshot-ms', '100', ...FINE, ...WORDS], {
    cwd,
    home,
  })
  for (;;) {
    await sleep(10)
    const [run] = await readdir(join(home, 'runs')).catch(() => [])
    const journal = join(home, 'runs', run ?? '', 'journal')
    const read = (await readRun(journal).catch(() => undefined))?.run
    const signed = read?.snapshots.filter(({ seq }) => seq <= read.signedSeq) ?? []
    const isEnough = read !== undefined && signed.length >= 2 && read.signedSeq >= signed.at(-1)!.seq + 2
    if (!isEnough && child.exitCode === null) continue
    child.kill('SIGKILL')
    await ended
    const left = (await readRun(journal)).run!
    const snapshot = left.snapshots.findLast(({ seq }) => seq <= left.signedSeq)!
    if (left.ended !== null || left.signedSeq <= snapshot.seq) return undefined
    return { home, run, journal, read: left, snapshot }
  }
}

/** Changes the entries of a journal, each with the checksum that it then has. */
async function edit(journal: string, change: (entry: JournalEntry) => JournalEntry): Promise<void> {
  const lines = (await readFile(journal, 'utf8')).split('\n').filter((line) => line !== '')
  const entries = lines.map((line) => JSON.parse(line.slice(9)) as JournalEntry)
  await writeFile(journal, entries.map((entry) => lineOf(change(entry))).join(''))
}

/** Gives the first checkpoint `seq` of a journal another state. */
const withState = (journal: string, seq: number, state: string): Promise<void> =>
  edit(journal, (entry) =>
    entry.kind === 'checkpoint' && entry.checkpoint.seq === seq
      ? { ...entry, checkpoint: { ...entry.checkpoint, state } }
      : entry,
  )

async function resume({ home, run }: Killed, options: readonly string[] = []): Promise<Answer> {
  const words = ['resume', '--json', '-o', 'r.reprise', '--snapshot-ms', '60000', ...options, run]
  return await room.reprise(words, { cwd: await room.newFolder(), home })
}

let whole: Promise<RunAnswer> | undefined
async function expectWhole(answer: Answer): Promise<void> {
  whole ??= (async () => {
    const cwd = await room.newFolder({ 'guest.wasm': program })
    return json<RunAnswer>(await room.reprise(['run', '--json', '--no-snapshots', ...FINE, ...WORDS], { cwd }))
  })()
  const { cumulative, outputs, checkpoints } = await whole
  expect(answer.code === 0 ? '' : answer.stdout + answer.stderr).toBe('')
  expect(json(answer)).toMatchObject({ cumulative, outputs, signedCheckpoints: checkpoints })
}

const said = (words: RegExp): string => expect.stringMatching(words) as string

describe('a determinism alarm', () => {
  test('stops a run whose signed checkpoint comes out differently, keeps its state, and holds until it is discarded', async () => {
    const run = await killed('changed')
    const seq = run.snapshot.seq + 2
    let signed = ''
    for await (const [checkpoint] of run.read.checkpoints(seq, seq)) signed = checkpoint.state
    await withState(run.journal, seq, 'e'.repeat(64))
    const stopped = await resume(run)
    expect(stopped).toMatchObject({
      code: 125,
      stdout: said(/DETERMINISM.*computed once more it came out the same as now/),
    })
    const folder = join(run.home, 'runs', run.run, `alarm-${seq}-1`)
    expect(await namesIn(folder)).toEqual(['alarm.json', 'measured'])
    expect(await namesIn(join(folder, 'measured'))).toEqual(['engine-state', 'memory', 'sha256'])
    expect(JSON.parse(await readFile(join(folder, 'alarm.json'), 'utf8'))).toMatchObject({
      expected: { seq, state: 'e'.repeat(64) },
      actual: { seq, state: signed },
      secondTry: { kind: 'as-now' },
      signedBy: { attempt: 1, environment: { node: process.versions.node } },
      measuredBy: { attempt: 2, environment: { node: process.versions.node } },
    })

    const before = await readFile(run.journal)
    expect(await resume(run)).toMatchObject({ code: 2, stdout: said(/ALARMED.*--discard-alarm/) })
    expect((await readFile(run.journal)).equals(before)).toBe(true)
    const shown = await room.reprise(['show', run.run.slice(0, 8)], { cwd: await room.newFolder(), home: run.home })
    expect(shown).toMatchObject({
      code: 0,
      stdout: said(/^alarmed .*checkpoint \d+ was signed.*Node .*resume [0-9a-f]{8} --discard-alarm/s),
    })

    // Whoever discards it only tries again: it is not taken for what was signed.
    expect(await resume(run, ['--discard-alarm'])).toMatchObject({ code: 125, stdout: said(/DETERMINISM/) })
    expect(await namesIn(join(run.home, 'runs', run.run))).toEqual([`alarm-${seq}-1`, `alarm-${seq}-2`, 'journal'])
    await withState(run.journal, seq, signed)
    await expectWhole(await resume(run, ['--discard-alarm']))
    const after = await room.reprise(['show', '--json', run.run], { cwd: await room.newFolder(), home: run.home })
    expect(json(after)).toMatchObject({ state: 'finished', alarms: [{ discarded: true }, { discarded: true }] })
  })

  test('names the page and the byte where a snapshot gives another state than was saved', async () => {
    const run = await killed('exchanged')
    const store = await openBlobStore(run.home)
    const { manifest, address, before } = await otherSnapshot(store, run.snapshot.manifest)
    const exchange = (from: string, to: string): Promise<void> =>
      edit(run.journal, (entry) =>
        entry.kind === 'snapshot' && entry.snapshot.manifest === from
          ? { ...entry, snapshot: { ...entry.snapshot, manifest: to } }
          : entry,
      )
    await exchange(run.snapshot.manifest, manifest)
    const place = `page ${Math.floor(address / 4096)}, at address 0x${address.toString(16)} (${hexByte(before)} signed, ${hexByte(before ^ 1)} now)`
    const stopped = await resume(run)
    expect(stopped).toMatchObject({
      code: 125,
      stdout: said(/restored from the snapshot of checkpoint.*came out as signed/),
    })
    expect(stopped.stdout).toContain(place)
    const folder = join(run.home, 'runs', run.run, `alarm-${run.snapshot.seq}-1`)
    expect(await namesIn(folder)).toEqual(['alarm.json', 'expected', 'measured'])
    const memory = await readFile(join(folder, 'expected', 'memory'))
    expect(memory[address]).toBe(before)
    expect(await namesIn(join(folder, 'measured', 'sha256'))).toContain(manifest)
    await exchange(manifest, run.snapshot.manifest)
    await expectWhole(await resume(run, ['--discard-alarm']))
  })

  test('is not raised for a damaged pack: that is named, nothing is signed, and once it is mended the run goes on', async () => {
    const run = await killed('damaged')
    const store = await openBlobStore(run.home)
    const pathOf = async (digest: string): Promise<string> => (await store.find(digest))!.path
    const { damaged, other } = await otherSnapshot(store, run.snapshot.manifest)
    const path = await pathOf(damaged)
    const [before, journal] = [await readFile(path), await readFile(run.journal)]
    // Of the right form and length: nobody sees it before the memory is hashed.
    await writeFile(path, await readFile(await pathOf(other)))
    expect(await resume(run)).toMatchObject({
      code: 125,
      stdout: said(new RegExp(`BLOB_CORRUPT.*${damaged.slice(2)}`)),
    })
    expect((await readFile(run.journal)).equals(journal)).toBe(true)
    await writeFile(path, before)
    await expectWhole(await resume(run))
  })

  test('is there whole or not at all, whenever the process is killed', async () => {
    const run = await killed('killed')
    await withState(run.journal, run.snapshot.seq + 1, 'e'.repeat(64))
    const journal = await readFile(run.journal)
    for (let i = 0; i < (NIGHTLY ? 40 : 4); i++) {
      await writeFile(run.journal, journal)
      const cwd = await room.newFolder()
      const { child, ended } = room.start(['resume', '-o', 'r.reprise', run.run], { cwd, home: run.home })
      while ((await readFile(run.journal)).length === journal.length && child.exitCode === null) await sleep(2)
      await sleep(i * (NIGHTLY ? 20 : 150))
      child.kill('SIGKILL')
      await ended
      const alarm = (await readRun(run.journal)).run?.alarm ?? undefined
      const folders = (await namesIn(join(run.home, 'runs', run.run))).filter((name) => name.startsWith('alarm-'))
      for (const folder of folders)
        JSON.parse(await readFile(join(run.home, 'runs', run.run, folder, 'alarm.json'), 'utf8'))
      if (alarm !== undefined) expect(folders).toContain(alarm.folder)
      expect(await resume(run)).toMatchObject(alarm === undefined ? { code: 125 } : { code: 2 })
    }
  })
})

const hexByte = (value: number): string => value.toString(16).padStart(2, '0')

/** A snapshot with one byte of memory changed, and everything as it should be otherwise. */
async function otherSnapshot(
  store: BlobStore,
  digest: string,
): Promise<{
  readonly manifest: string
  readonly address: number
  readonly before: number
  /** The pack, and what it is in the other snapshot. */
  readonly damaged: string
  readonly other: string
}> {
  const manifest = JSON.parse(Buffer.from(await store.read(digest)).toString()) as SnapshotManifest
  const [firstPage, , index, firstInPack] = manifest.pages[0]
  const pack = Uint8Array.from(await store.read(manifest.packs[index].sha256))
  const at = firstInPack * 4096 + 100
  const before = pack[at]
  pack[at] = before ^ 1
  const other = await store.putBytes(pack)
  const packs = manifest.packs.with(index, other)
  const text = JSON.stringify({ ...manifest, packs })
  const { sha256 } = await store.putBytes(Buffer.from(text))
  const damaged = manifest.packs[index].sha256
  return { manifest: sha256, address: firstPage * 4096 + 100, before, damaged, other: other.sha256 }
}
