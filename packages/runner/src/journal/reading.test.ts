import type { Attempt, Attestation, Checkpoint, Computation, Outcome, Snapshot } from '@reprise/core'
import { describe, expect, test } from 'vitest'
import { hostNumber, keptSnapshots, resumePoint, runOf, type JournalEntry, type KeepSnapshots } from './index.ts'

const D = 'd'.repeat(64)
const BLOB = { lengthBytes: 0, sha256: D }

const computation: Computation = {
  schema: 'reprise/computation/v1',
  semantics: 'wasm/1',
  program: BLOB,
  arguments: ['a'],
  environment: {},
  stdin: BLOB,
  mounts: [{ at: '/', output: true, source: { kind: 'files', files: [] }, writable: true }],
  clock: '0',
  seed: '0',
  floats: 'canonical',
  limits: { memoryPages: 1, stackSlots: 1 },
  checkpoints: { kind: 'grid', fuel: '1000', strideBytes: 1, strideMax: 1 },
  success: [{ checkpoints: 'exact' }],
}
const environment: Attempt['environment'] = {
  schema: 'reprise/environment/v1',
  architecture: 'x64',
  bootId: null,
  cpu: 'a CPU',
  ekCertificate: null,
  follows: [],
  kernel: '6',
  node: '26',
  platform: 'linux',
  repeats: null,
  reprise: '0',
  rewriter: '1',
  startedAt: '2026-11-22T03:25:00Z',
  tpm: { firmware: '1', manufacturer: 'IBM', transport: 'swtpm' },
  v8: '14',
}
const outcome: Outcome = {
  exit: { code: 0 },
  outputs: ['/dev/stderr', '/dev/stdout'].map((path) => ({ length: 0, pages: D, path, sha256: D })),
}
const HOSTS = ['aa', 'bb'].map((ak) => ({ ak, ek: null }))

const attemptOf = (attempt: number, from: number | null, host = 0): Attempt => ({
  attempt,
  environment,
  firstSeq: from === null ? 0 : from + 1,
  from,
  host,
})
const checkpointOf = (seq: number, state = D): Checkpoint => ({
  kind: seq === 4 ? 3 : 1,
  outputs: D,
  position: String(seq * 1000),
  seq,
  state,
})
const snapshotOf = (seq: number): Snapshot => ({ frames: D, manifest: D, root: D, seq })
const attestationOf = (attempt: number, seq: number): Attestation => ({
  attempt,
  attest: 'ff',
  batch: { count: 1, index: 0, path: [], seq: '1' },
  pcrs: { sha256: { '0': D } },
  seq,
  signature: '00',
})

const start: JournalEntry = { kind: 'start', attempt: attemptOf(1, null), computation, host: HOSTS[0], run: D }
const goOn = (attempt: number, from: number, host = 0): JournalEntry => ({
  kind: 'attempt',
  attempt: attemptOf(attempt, from, host),
  host: HOSTS[host],
})
const c = (seq: number, state?: string): JournalEntry => ({ kind: 'checkpoint', checkpoint: checkpointOf(seq, state) })
const s = (seq: number): JournalEntry => ({ kind: 'snapshot', snapshot: snapshotOf(seq) })
const a = (attempt: number, seq: number): JournalEntry => ({
  kind: 'attestation',
  attestation: attestationOf(attempt, seq),
})
const keep = (snapshots: KeepSnapshots): JournalEntry => ({ kind: 'keep', snapshots })
const end: JournalEntry = { kind: 'end', reason: 'finished' }
const result: JournalEntry = { kind: 'outcome', outcome }

/** Signed up to checkpoint 2, a snapshot of checkpoint 1, cut off after checkpoint 3. */
const first = [start, c(0), a(1, 0), c(1), s(1), c(2), a(1, 2), c(3), s(3)]
const finish = [c(3), a(2, 3), result, c(4), a(2, 4), end]

const seqs = (items: readonly { readonly seq: number }[]): number[] => items.map(({ seq }) => seq)

describe('runOf', () => {
  test('gives all of a run that was cut off', () => {
    const run = runOf(first)
    expect([seqs(run.checkpoints), seqs(run.snapshots), run.signedSeq]).toEqual([[0, 1, 2, 3], [1, 3], 2])
    expect([run.outcome, run.ended, run.attempts.length]).toEqual([null, null, 1])
  })

  test('joins two attempts to one chain', () => {
    const run = runOf([...first, goOn(2, 1, 1), c(2), ...finish])
    expect(seqs(run.checkpoints)).toEqual([0, 1, 2, 3, 4])
    expect(seqs(run.snapshots)).toEqual([1])
    expect(run.attestations.map(({ attempt, seq }) => [attempt, seq])).toEqual([
      [1, 0],
      [1, 2],
      [2, 3],
      [2, 4],
    ])
    expect([run.attempts.map(({ from }) => from), run.hosts, run.ended]).toEqual([[null, 1], HOSTS, 'finished'])
    expect(run.outcome).toEqual(outcome)
  })

  test('keeps what was signed and not computed again', () => {
    const run = runOf([...first, goOn(2, 1)])
    expect([seqs(run.checkpoints), run.signedSeq, run.attempts.length]).toEqual([[0, 1, 2], 2, 1])
  })

  test('takes another checkpoint for one that was not signed', () => {
    const run = runOf([...first, goOn(2, 1), c(2), c(3, 'e'.repeat(64)), a(2, 3)])
    expect(run.checkpoints[3].state).toBe('e'.repeat(64))
  })

  test('lets the next attempt take the number of one of which nothing was signed', () => {
    const run = runOf([...first, goOn(2, 1, 1), c(2), goOn(2, 1), c(2), ...finish])
    expect([run.attempts.length, run.hosts]).toEqual([2, [HOSTS[0]]])
  })

  test('gives no outcome without its checkpoint', () => {
    expect(runOf([start, c(0), result]).outcome).toBe(null)
  })

  test.each<[string, JournalEntry[]]>([
    ['nothing', []],
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
    ['a checkpoint that is none', [start, { kind: 'checkpoint', checkpoint: {} as Checkpoint }]],
  ])('refuses %s, and says where', (_, entries) => {
    expect(() => runOf(entries)).toThrow(
      expect.objectContaining({ code: 'JOURNAL_DAMAGED', data: { line: Math.max(1, entries.length) } }),
    )
  })
})

describe('resumePoint', () => {
  test('is the newest snapshot that was signed, and what has to come out again', () => {
    const point = resumePoint(runOf(first))
    expect([point?.snapshot.seq, seqs(point?.checkpoints ?? []), seqs(point?.expected ?? [])]).toEqual([1, [0, 1], [2]])
    expect(seqs(point?.snapshots ?? [])).toEqual([1])
  })

  test('may be an older one', () => {
    const run = runOf([...first, a(1, 3)])
    expect(resumePoint(run)?.snapshot.seq).toBe(3)
    expect(seqs(resumePoint(run, 1)?.expected ?? [])).toEqual([2, 3])
  })

  test('is nowhere without a signed snapshot, and not at the end', () => {
    expect(resumePoint(runOf([start, c(0), a(1, 0), c(1), s(1)]))).toBeUndefined()
    const ended = runOf([start, c(0), c(1), c(2), c(3), result, c(4), s(4), a(1, 4), end])
    expect([resumePoint(ended), resumePoint(ended, 4)]).toEqual([undefined, undefined])
  })
})

test('hostNumber knows a host by its key', () => {
  const run = runOf(first)
  expect([hostNumber(run, 'aa'), hostNumber(run, 'bb')]).toEqual([0, 1])
})

describe('keptSnapshots', () => {
  /** Snapshots of checkpoints 1 to 3, the last one not signed. */
  const open = [c(0), a(1, 0), c(1), s(1), c(2), s(2), a(1, 2), c(3), s(3)]
  const closed = [a(1, 3), result, c(4), a(1, 4), end]
  const kept = (snapshots: KeepSnapshots | undefined, entries: readonly JournalEntry[]): number[] =>
    seqs(keptSnapshots(runOf([start, ...(snapshots === undefined ? [] : [keep(snapshots)]), ...entries])))

  test('are the signed ones, as many as are wanted', () => {
    expect(kept(undefined, [...open, ...closed])).toEqual([1, 2, 3])
    expect(kept('all', open)).toEqual([1, 2])
    expect(kept(1, open)).toEqual([2])
    expect(kept(2, [...open, ...closed])).toEqual([2, 3])
    expect(kept(9, [...open, ...closed])).toEqual([1, 2, 3])
  })

  test('none are none after the end, and the one to go on from until then', () => {
    expect(kept('none', open)).toEqual([2])
    expect(kept('none', [...open, { kind: 'end', reason: 'interrupted' }])).toEqual([2])
    expect(kept('none', [...open, ...closed])).toEqual([])
    expect(kept('none', [c(0), a(1, 0)])).toEqual([])
  })

  test('are those that were asked for last', () => {
    expect(kept(1, [...open, goOn(2, 2), keep('all'), c(3), a(2, 3), result, c(4), a(2, 4), end])).toEqual([1, 2])
  })
})
