import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Attestation, Checkpoint } from '@reprise/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  hostNumber,
  keptSnapshots,
  lineOf,
  readRun,
  resumePoint,
  type JournalEntry,
  type JournalRun,
  type KeepSnapshots,
} from './index.ts'
import {
  attemptOf,
  attestationOf,
  checkpointEntry,
  checkpointOf,
  HOSTS,
  outcome,
  snapshotOf,
  startEntry,
} from './testing.ts'

const goOn = (attempt: number, from: number, host = 0): JournalEntry => ({
  kind: 'attempt',
  attempt: attemptOf(attempt, from, host),
  host: HOSTS[host],
})
const start = startEntry
const c = checkpointEntry
const s = (seq: number): JournalEntry => ({ kind: 'snapshot', snapshot: snapshotOf(seq) })
const a = (attempt: number, seq: number): JournalEntry => ({
  kind: 'attestation',
  attestation: attestationOf(attempt, seq),
})
const keep = (snapshots: KeepSnapshots): JournalEntry => ({ kind: 'keep', snapshots })
const alarm = {
  kind: 'alarm',
  alarm: { attempt: 2, expected: checkpointOf(2), actual: checkpointOf(2, 'e'.repeat(64)), folder: 'alarm-2-2' },
} as const
const changed: JournalEntry = { kind: 'changed' }
const discard: JournalEntry = { kind: 'discard' }
const end: JournalEntry = { kind: 'end', reason: 'finished' }
const result: JournalEntry = { kind: 'outcome', outcome }

/** Signed up to checkpoint 2, a snapshot of checkpoint 1, cut off after checkpoint 3. */
const first = [start, c(0), a(1, 0), c(1), s(1), c(2), a(1, 2), c(3), s(3)]
const finish = [c(3), a(2, 3), result, c(4), a(2, 4), end]

let folder = ''
let journals = 0
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'reprise-reading-'))))
afterAll(() => rm(folder, { recursive: true }))

interface Whole {
  readonly run: JournalRun
  readonly checkpoints: readonly Checkpoint[]
  readonly attestations: readonly Attestation[]
}

/** What a journal with these entries says. */
async function runOf(entries: readonly JournalEntry[]): Promise<Whole> {
  const path = join(folder, `journal-${journals++}`)
  await writeFile(path, entries.map(lineOf).join(''))
  const { run } = await readRun(path)
  if (run === undefined) throw new Error('there is no whole line')
  const checkpoints: Checkpoint[] = []
  for await (const batch of run.checkpoints()) checkpoints.push(...batch)
  const attestations: Attestation[] = []
  for await (const batch of run.attestations()) attestations.push(...batch)
  expect([run.checkpointCount, run.lastCheckpoint]).toEqual([checkpoints.length, checkpoints.at(-1)])
  expect([run.attestationCount, run.lastAttestation]).toEqual([attestations.length, attestations.at(-1)])
  return { run, checkpoints, attestations }
}

const seqs = (items: readonly { readonly seq: number }[]): number[] => items.map(({ seq }) => seq)

describe('readRun', () => {
  test('gives all of a run that was cut off', async () => {
    const { run, checkpoints } = await runOf(first)
    expect([seqs(checkpoints), seqs(run.snapshots), run.signedSeq]).toEqual([[0, 1, 2, 3], [1, 3], 2])
    expect([run.outcome, run.ended, run.alarm, run.attempts.length]).toEqual([null, null, null, 1])
  })

  test('joins two attempts to one chain', async () => {
    const { run, checkpoints, attestations } = await runOf([...first, goOn(2, 1, 1), c(2), ...finish])
    expect(seqs(checkpoints)).toEqual([0, 1, 2, 3, 4])
    expect(seqs(run.snapshots)).toEqual([1])
    expect(attestations.map(({ attempt, seq }) => [attempt, seq])).toEqual([
      [1, 0],
      [1, 2],
      [2, 3],
      [2, 4],
    ])
    expect([run.attempts.map(({ from }) => from), run.hosts, run.ended]).toEqual([[null, 1], HOSTS, 'finished'])
    expect(run.outcome).toEqual(outcome)
  })

  test('keeps what was signed and not computed again', async () => {
    const { run, checkpoints } = await runOf([...first, goOn(2, 1)])
    expect([seqs(checkpoints), run.signedSeq, run.attempts.length]).toEqual([[0, 1, 2], 2, 1])
  })

  test('takes another checkpoint for one that was not signed', async () => {
    const { checkpoints } = await runOf([...first, goOn(2, 1), c(2), c(3, 'e'.repeat(64)), a(2, 3)])
    expect(checkpoints[3].state).toBe('e'.repeat(64))
  })

  test('joins many attempts, some of which did not come as far as the one before', async () => {
    const more = [goOn(2, 1, 1), c(2), goOn(2, 1), c(2), c(3), s(3), a(2, 3), goOn(3, 1), c(2), a(3, 2), goOn(4, 3)]
    const { run, checkpoints, attestations } = await runOf([...first, ...more, result, c(4), a(4, 4), end])
    expect([seqs(checkpoints), seqs(run.snapshots)]).toEqual([
      [0, 1, 2, 3, 4],
      [1, 3],
    ])
    expect(attestations.map(({ attempt, seq }) => [attempt, seq])).toEqual([
      [1, 0],
      [1, 2],
      [2, 3],
      [3, 2],
      [4, 4],
    ])
    expect([run.signedSeq, run.outcome]).toEqual([4, outcome])
  })

  test('lets the next attempt take the number of one of which nothing was signed', async () => {
    const { run } = await runOf([...first, goOn(2, 1, 1), c(2), goOn(2, 1), c(2), ...finish])
    expect([run.attempts.length, run.hosts]).toEqual([2, [HOSTS[0]]])
  })

  test('gives no outcome without its checkpoint', async () => {
    expect((await runOf([start, c(0), result])).run.outcome).toBe(null)
  })

  test('knows an alarm until it is discarded', async () => {
    const alarmed = [...first, goOn(2, 1), alarm]
    expect((await runOf(alarmed)).run.alarm).toMatchObject({ attempt: 2, folder: 'alarm-2-2' })
    expect((await runOf([...alarmed, discard])).run.alarm).toBe(null)
    const { run, checkpoints } = await runOf([...alarmed, discard, goOn(2, 1), c(2), ...finish])
    expect([run.alarm, seqs(checkpoints), run.ended]).toEqual([null, [0, 1, 2, 3, 4], 'finished'])
  })

  test.each<[string, JournalEntry[]]>([
    ['no such way to keep', [start, keep(0)]],
    ['no start', [c(0)]],
    ['a second start', [start, start]],
    ['a gap', [start, c(0), c(2)]],
    ['another checkpoint than was signed', [...first, goOn(2, 1), c(2, 'e'.repeat(64))]],
    ['an attempt that begins elsewhere than it says', [...first, goOn(2, 1), c(3)]],
    ['an attempt from nowhere', [...first, goOn(2, 2)]],
    ['an attempt from a snapshot that was not signed', [...first, goOn(2, 3)]],
    ['another number for an attempt', [...first, goOn(3, 1)]],
    ['another number for a host', [...first, { ...goOn(2, 1, 1), host: HOSTS[0] } as JournalEntry]],
    ['a snapshot of a checkpoint to come', [start, c(0), s(1)]],
    ['a snapshot of a checkpoint that was signed', [start, c(0), c(1), a(1, 1), s(1)]],
    ['a snapshot of the first checkpoint', [start, c(0), s(0)]],
    ['an attestation of a checkpoint to come', [start, c(0), a(1, 1)]],
    ['an attestation of another attempt', [start, c(0), a(2, 0)]],
    ['something after the end', [start, c(0), end, c(1)]],
    ['an attempt after the end', [...first, goOn(2, 1), c(2), ...finish, goOn(3, 1)]],
    ['something after an alarm', [...first, goOn(2, 1), alarm, goOn(2, 1)]],
    ['an alarm of another folder', [...first, { kind: 'alarm', alarm: { ...alarm.alarm, folder: '../alarm-2-2' } }]],
    ['an attempt that goes on after its alarm', [...first, goOn(2, 1), alarm, discard, c(2)]],
    ['a discarded alarm that is not there', [...first, discard]],
    ['a host that changed before anything was signed', [start, c(0), changed]],
    ['a host that changed twice', [...first, changed, changed]],
    ['what a host signed after it had changed', [...first, changed, a(1, 3), c(4), a(1, 4)]],
    ['a checkpoint that is none', [start, { kind: 'checkpoint', checkpoint: {} as Checkpoint }]],
  ])('refuses %s, and says where', async (_, entries) => {
    await expect(runOf(entries)).rejects.toMatchObject({ code: 'JOURNAL_DAMAGED', data: { line: entries.length } })
  })
})

describe('resumePoint', () => {
  test('is the newest snapshot that was signed, and what has to come out again', async () => {
    const point = resumePoint((await runOf(first)).run)
    expect([point?.snapshot.seq, point?.expected]).toEqual([1, { first: 2, last: 2 }])
    expect(seqs(point?.snapshots ?? [])).toEqual([1])
  })

  test('is before what a host attested to after it had changed, and that has to come out again all the same', async () => {
    const stopped = [...first, changed, a(1, 3)]
    const { run } = await runOf(stopped)
    expect([run.signedSeq, run.heldSeq]).toEqual([3, 2])
    const point = resumePoint(run)
    expect([point?.snapshot.seq, point?.expected, seqs(point?.snapshots ?? [])]).toEqual([
      1,
      { first: 2, last: 3 },
      [1, 3],
    ])
    const gone = [...stopped, goOn(2, 1), c(2), c(3), result, c(4), a(2, 4), end]
    const { run: whole } = await runOf(gone)
    expect([whole.heldSeq, whole.attempts.length, whole.ended]).toEqual([4, 2, 'finished'])
  })

  test('is there when the run had come to its end on such a host', async () => {
    const ended = [start, c(0), c(1), s(1), a(1, 1), c(2), c(3), result, c(4), changed, a(1, 4)]
    const { run } = await runOf([...ended, { kind: 'end', reason: 'interrupted' }])
    expect([run.heldSeq, resumePoint(run)?.snapshot.seq, resumePoint(run)?.expected]).toEqual([
      1,
      1,
      { first: 2, last: 4 },
    ])
  })

  test('may be an older one', async () => {
    const { run } = await runOf([...first, a(1, 3)])
    expect(resumePoint(run)?.snapshot.seq).toBe(3)
    expect(resumePoint(run, 1)?.expected).toEqual({ first: 2, last: 3 })
  })

  test('is nowhere without a signed snapshot, and not at the end', async () => {
    expect(resumePoint((await runOf([start, c(0), a(1, 0), c(1), s(1)])).run)).toBeUndefined()
    const { run } = await runOf([start, c(0), c(1), c(2), c(3), result, c(4), s(4), a(1, 4), end])
    expect([resumePoint(run), resumePoint(run, 4)]).toEqual([undefined, undefined])
  })
})

test('hostNumber knows a host by its key', async () => {
  const { run } = await runOf(first)
  expect([hostNumber(run, 'aa'), hostNumber(run, 'bb')]).toEqual([0, 1])
})

describe('keptSnapshots', () => {
  /** Snapshots of checkpoints 1 to 3, the last one not signed. */
  const open = [c(0), a(1, 0), c(1), s(1), c(2), s(2), a(1, 2), c(3), s(3)]
  const closed = [a(1, 3), result, c(4), a(1, 4), end]
  const kept = async (snapshots: KeepSnapshots | undefined, entries: readonly JournalEntry[]): Promise<number[]> => {
    const { run } = await runOf([start, ...(snapshots === undefined ? [] : [keep(snapshots)]), ...entries])
    return seqs(keptSnapshots(run))
  }

  test('are the signed ones, as many as are wanted', async () => {
    expect(await kept(undefined, [...open, ...closed])).toEqual([1, 2, 3])
    expect(await kept('all', open)).toEqual([1, 2])
    expect(await kept(1, open)).toEqual([2])
    expect(await kept(2, [...open, ...closed])).toEqual([2, 3])
    expect(await kept(9, [...open, ...closed])).toEqual([1, 2, 3])
  })

  test('keep what can be gone on from when the host changed', async () => {
    expect(await kept(1, [...open, changed, a(1, 3)])).toEqual([2, 3])
  })

  test('none are none after the end, and the one to go on from until then', async () => {
    expect(await kept('none', open)).toEqual([2])
    expect(await kept('none', [...open, { kind: 'end', reason: 'interrupted' }])).toEqual([2])
    expect(await kept('none', [...open, ...closed])).toEqual([])
    expect(await kept('none', [c(0), a(1, 0)])).toEqual([])
  })

  test('are those that were asked for last', async () => {
    const again = [goOn(2, 2), keep('all'), c(3), a(2, 3), result, c(4), a(2, 4), end]
    expect(await kept(1, [...open, ...again])).toEqual([1, 2])
  })
})
