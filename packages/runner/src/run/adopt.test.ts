import { mkdtemp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Attestation, Checkpoint } from '@reprise/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openBlobStore, type BlobStore } from '../blobs/index.ts'
import { journalPath, layJournal, lineOf, readRun, type JournalEntry, type JournalRun } from '../journal/index.ts'
import {
  attemptOf,
  attestationOf,
  checkpointEntry as c,
  checkpointOf,
  D,
  HOSTS,
  snapshotOf,
  startEntry,
} from '../journal/testing.ts'
import { loadRecord, writeRecord, type LoadedRecord } from '../record/index.ts'
import { adoptRun, entriesOf } from './adopt.ts'

const s = (seq: number): JournalEntry => ({ kind: 'snapshot', snapshot: snapshotOf(seq) })
const a = (attempt: number, seq: number): JournalEntry => ({
  kind: 'attestation',
  attestation: attestationOf(attempt, seq),
})
const goOn = (attempt: number, from: number, host = 0): JournalEntry => ({
  kind: 'attempt',
  attempt: attemptOf(attempt, from, host),
  host: HOSTS[host],
})
const alarm: JournalEntry = {
  kind: 'alarm',
  alarm: { attempt: 2, expected: checkpointOf(2), actual: checkpointOf(2, 'e'.repeat(64)), folder: 'alarm-2-1' },
}
/** Signed up to checkpoint 2, with a snapshot of checkpoint 1; the rest is nobody's word. */
const first = [startEntry, c(0), a(1, 0), c(1), s(1), c(2), a(1, 2), c(3)]
const second = [...first, goOn(2, 1, 1), c(2), c(3), s(3), a(2, 3)]
const third = [...second, goOn(3, 1), c(2), a(3, 2), goOn(4, 3, 1), c(4), a(4, 4)]

let folder: string
let store: BlobStore
let homes = 0
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reprise-adopt-'))
  store = await openBlobStore(join(folder, 'store'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** A home with that journal, if any. */
async function homeWith(entries: readonly JournalEntry[] = []): Promise<string> {
  const home = join(folder, `home-${homes++}`)
  if (entries.length === 0) return home
  await mkdir(dirname(journalPath(home, D)), { recursive: true })
  await writeFile(journalPath(home, D), entries.map(lineOf).join(''))
  return home
}

async function runIn(home: string): Promise<JournalRun> {
  const { run } = await readRun(journalPath(home, D))
  if (run === undefined) throw new Error('there is no journal')
  return run
}

async function recordOf(entries: readonly JournalEntry[]): Promise<LoadedRecord> {
  const home = await homeWith(entries)
  const path = join(home, 'r.reprise')
  await writeRecord({ path, run: await runIn(home), attach: 'none', store })
  return await loadRecord(path)
}

async function flat<T>(batches: AsyncIterable<readonly T[]>): Promise<T[]> {
  const items: T[] = []
  for await (const batch of batches) items.push(...batch)
  return items
}

const adopt = (home: string, record: LoadedRecord, discardAlarm = false): Promise<string> =>
  adoptRun({ record, home, sources: { original: undefined, store, folder, places: [] }, discardAlarm })

describe('a journal that is laid from a record', () => {
  test.each([
    ['one attempt', first],
    ['two hosts', second],
    ['attempts that did not come as far as the one before', third.slice(0, -3)],
  ])('says what the one that it came from says, as far as that is signed: %s', async (_, entries) => {
    const original = await runIn(await homeWith(entries))
    await using record = await recordOf(entries)
    const home = await homeWith()
    const path = journalPath(home, D)
    await layJournal(
      path,
      async () => 'lay',
      () => entriesOf(record),
    )
    const laid = await runIn(home)
    const { attempts, hosts, signedSeq, computation, run } = original
    expect(laid).toMatchObject({
      attempts,
      hosts,
      signedSeq,
      computation,
      run,
      ended: null,
      checkpointCount: signedSeq + 1,
    })
    expect(await flat<Checkpoint>(laid.checkpoints())).toEqual(
      await flat<Checkpoint>(original.checkpoints(0, signedSeq)),
    )
    expect(await flat<Attestation>(laid.attestations())).toEqual(await flat<Attestation>(original.attestations()))
    expect(laid.snapshots).toEqual(original.snapshots.filter(({ seq }) => seq <= signedSeq))
    expect(await readdir(dirname(path))).toEqual(['journal'])
  })
})

describe('adoptRun', () => {
  test.each([
    ['as far', second],
    ['further', [...second, goOn(3, 3), c(4)]],
  ])('leaves a journal that has signed %s as it is', async (_, here) => {
    const home = await homeWith(here)
    const before = await readFile(journalPath(home, D))
    await using record = await recordOf(second)
    expect(await adopt(home, record)).toBe('journal')
    expect((await readFile(journalPath(home, D))).equals(before)).toBe(true)
    expect(await readdir(dirname(journalPath(home, D)))).toEqual(['journal'])
  })

  test('refuses a fork, and says where the two part', async () => {
    const home = await homeWith([...first, goOn(2, 1), c(2), a(2, 2)])
    const before = await readFile(journalPath(home, D))
    await using record = await recordOf(second)
    await expect(adopt(home, record)).rejects.toMatchObject({
      code: 'FORKED',
      message: expect.stringMatching(
        /after the attestation of checkpoint 2, this host has attempt 2 \(host 0.*attempt 2 \(host 1/,
      ) as string,
      data: { agreedSeq: 2, here: 2, record: 3 },
    })
    expect((await readFile(journalPath(home, D))).equals(before)).toBe(true)
  })

  test('takes a longer record only when all that going on needs is there', async () => {
    const home = await homeWith(first)
    const before = await readFile(journalPath(home, D))
    await using record = await recordOf(second)
    await expect(adopt(home, record)).rejects.toMatchObject({ code: 'BLOB_MISSING' })
    expect((await readFile(journalPath(home, D))).equals(before)).toBe(true)
  })

  test('does not pass over an alarm of this host', async () => {
    const home = await homeWith([...first, goOn(2, 1), alarm])
    await using record = await recordOf(second)
    await expect(adopt(home, record)).rejects.toMatchObject({ code: 'ALARMED' })
    await expect(adopt(home, record, true)).rejects.toMatchObject({ code: 'BLOB_MISSING' })
  })

  test('refuses what has ended or has no signed snapshot', async () => {
    await using ended = await recordOf(third)
    await expect(adopt(await homeWith(), ended)).rejects.toMatchObject({ code: 'NOT_RESUMABLE', message: /has ended/ })
    await using bare = await recordOf([startEntry, c(0), a(1, 0), c(1), s(1)])
    await expect(adopt(await homeWith(), bare)).rejects.toMatchObject({ code: 'NOT_RESUMABLE', message: /no signed/ })
  })
})
