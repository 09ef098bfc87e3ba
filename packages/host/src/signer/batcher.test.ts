import { randomBytes } from 'node:crypto'
import {
  type Attestation,
  attestationDigest,
  batchDigest,
  decodeTpmsAttest,
  equal,
  fromHex,
  headDigest,
  hex,
  joinedDigest,
  rootFromPath,
  type TpmsAttest,
  treeHash,
  ZERO_DIGEST,
} from '@reprise/core'
import { describe, expect, test } from 'vitest'
import { sha256 } from '../hashing.ts'
import { type BatchedRun, Batcher } from './batcher.ts'
import { eventually, FakeHost } from './fake-host.ts'
import type { OpenRun, RunHead } from './protocol.ts'

const digest = (): Uint8Array => new Uint8Array(randomBytes(32))
const head = (seq: number): RunHead => ({ seq, cumulative: digest(), snapshots: digest(), end: false })
const newRun = (more: Partial<OpenRun> = {}): OpenRun => ({
  runId: digest(),
  attempt: 1,
  firstSeq: 0,
  environmentDigest: digest(),
  previous: ZERO_DIGEST,
  since: null,
  begun: true,
  pcrs: [],
  ...more,
})

/** A batcher over a fake TPM that answers when `answer` is called, or at once. */
function setUp(batchesPerSecond: number | null = null) {
  const host = new FakeHost()
  const gates: (() => void)[] = []
  const failures: unknown[] = []
  const batcher = new Batcher({
    hostId: host.facts.hostId,
    sha256,
    quote: (data) => host.quote(data),
    nextBatchSeq: () => host.nextBatchSeq(),
    boot: () => host.boot(),
    count: (count) => host.count(count),
    batchesPerSecond,
    onFailure: (error) => failures.push(error),
  })
  const hold = (): void => {
    host.beforeQuote = () => new Promise((resolve) => gates.push(resolve))
  }
  const answer = async (): Promise<void> => {
    await eventually(() => gates.length > 0)
    gates.shift()!()
  }
  const open = (opened: OpenRun = newRun()) => {
    const receipts: Attestation[] = []
    const refusals: string[] = []
    const run: BatchedRun = batcher.open(opened, {
      onReceipt: (receipt) => receipts.push(receipt),
      onRefused: (error) => refusals.push(error.code),
    })
    return { opened, run, receipts, refusals }
  }
  return { host, batcher, failures, hold, answer, open, gates }
}

/** The batch that a receipt's path leads to must be the one that was quoted. */
function leadsTo(receipt: Attestation, signed: OpenRun & RunHead, host: FakeHost): boolean {
  const hash = treeHash('batch', sha256)
  const { index, count, path, seq } = receipt.batch
  const leaf = hash.leaf(headDigest(signed, sha256))
  const root = rootFromPath(hash, { leaf, index, leafCount: count, path: path.map(fromHex) })
  if (root === undefined) return false
  const expected = batchDigest({ hostId: host.facts.hostId, seq: BigInt(seq), root }, sha256)
  return host.quoted.some((data) => equal(data, expected)) && receipt.attest.includes(hex(expected))
}

const certified = ({ counter }: Attestation): TpmsAttest => decodeTpmsAttest(fromHex(counter!.attest))

describe('Batcher', () => {
  test('gives a receipt that leads to what was quoted', async () => {
    const { host, open } = setUp()
    const { opened, run, receipts } = open()
    const first = head(0)
    run.submit(first, true)
    await eventually(() => receipts.length === 1)
    expect(receipts[0]).toMatchObject({ attempt: 1, seq: 0, batch: { count: 1, index: 0, path: [], seq: '0' } })
    expect(leadsTo(receipts[0], { ...opened, ...first }, host)).toBe(true)
  })

  test('chains the receipts of a run by previous', async () => {
    const { host, open } = setUp()
    const { opened, run, receipts } = open()
    const heads = [head(0), head(1), head(5)]
    let previous: Uint8Array = ZERO_DIGEST
    for (const [i, next] of heads.entries()) {
      run.submit(next, true)
      await eventually(() => receipts.length === i + 1)
      expect(leadsTo(receipts[i], { ...opened, ...next, previous }, host)).toBe(true)
      previous = attestationDigest(fromHex(receipts[i].attest), fromHex(receipts[i].signature), sha256)
    }
  })

  test('signs the newest heads of all runs at once while the TPM was busy', async () => {
    const { host, hold, answer, open } = setUp()
    const runs = [open(), open(), open(), open(), open()]
    hold()
    runs[0].run.submit(head(0), false)
    await eventually(() => host.quoted.length === 1)
    const newest = runs.map(() => head(9))
    for (const [i, { run }] of runs.entries()) {
      for (let seq = 1; seq < 9; seq++) run.submit(head(seq), false)
      run.submit(newest[i], false)
      run.submit(head(3), false)
    }
    await answer()
    await answer()
    await eventually(() => runs.every(({ receipts }) => receipts.at(-1)?.seq === 9))
    expect(host.quoted).toHaveLength(2)
    expect(new Set(runs.map(({ receipts }) => receipts.at(-1)?.batch.index))).toEqual(new Set([0, 1, 2, 3, 4]))
    expect(
      runs.slice(1).every(({ opened, receipts }, i) => leadsTo(receipts[0], { ...opened, ...newest[i + 1] }, host)),
    ).toBe(true)
  })

  test('waits with a head that is not urgent, and takes it along with one that is', async () => {
    const { host, open } = setUp(0.001)
    const [patient, urgent] = [open(), open()]
    patient.run.submit(head(0), false)
    await eventually(() => patient.receipts.length === 1)
    patient.run.submit(head(1), false)
    patient.run.submit(head(2), false)
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(host.quoted).toHaveLength(1)
    urgent.run.submit(head(0), true)
    await eventually(() => urgent.receipts.length === 1 && patient.receipts.length === 2)
    expect(patient.receipts[1].seq).toBe(2)
    expect(host.quoted).toHaveLength(2)
  })

  test('a head stays urgent when a newer one replaces it', async () => {
    const { batcher, open } = setUp(0.001)
    const { run, receipts } = open()
    run.submit(head(0), true)
    await eventually(() => receipts.length === 1)
    run.submit(head(1), true)
    run.submit(head(2), false)
    await eventually(() => receipts.length === 2)
    batcher.stop()
  })

  test('signs a head again with a statement when the TPM was reset, which its chain takes in', async () => {
    const { host, open } = setUp()
    const [old, fresh] = [open(), open()]
    const first = head(0)
    old.run.submit(first, true)
    await eventually(() => old.receipts.length === 1)
    host.restartCount++
    const second = head(1)
    old.run.submit(second, true)
    fresh.run.submit(head(0), true)
    await eventually(() => old.receipts.length === 2 && fresh.receipts.length === 1)
    const [before, joined] = old.receipts
    expect(joined.boot?.startup).toEqual((await host.boot()).statement.startup)
    const previous = attestationDigest(fromHex(before.attest), fromHex(before.signature), sha256)
    const taken = joinedDigest(previous, { boot: joined.boot! }, sha256)
    expect(leadsTo(joined, { ...old.opened, ...second, previous: taken }, host)).toBe(true)
    expect(fresh.receipts[0].boot).toBeUndefined()
    expect(host.quoted).toHaveLength(3)
  })

  test('begins an attempt with both statements, and ends it with the counter', async () => {
    const { host, open } = setUp()
    const { opened, run, receipts } = open(newRun({ begun: false }))
    const [first, last] = [head(0), { ...head(7), end: true }]
    run.submit(first, true)
    await eventually(() => receipts.length === 1)
    run.submit(last, true)
    await eventually(() => receipts.length === 2)
    const { boot, counter } = receipts[0]
    const begun = joinedDigest(ZERO_DIGEST, { boot: boot!, counter: counter! }, sha256)
    expect(leadsTo(receipts[0], { ...opened, ...first, previous: begun }, host)).toBe(true)
    const previous = attestationDigest(fromHex(receipts[0].attest), fromHex(receipts[0].signature), sha256)
    const ended = joinedDigest(previous, { counter: receipts[1].counter! }, sha256)
    expect(leadsTo(receipts[1], { ...opened, ...last, previous: ended }, host)).toBe(true)
    expect(host.counted).toMatchObject([
      { purpose: 'begin', previous: ZERO_DIGEST },
      { purpose: 'end', previous },
    ])
  })

  test('counts the begin of an attempt before there is anything to sign', async () => {
    const { host, open } = setUp()
    const { run, receipts } = open(newRun({ begun: false }))
    const gone = open(newRun({ begun: false }))
    gone.run.close()
    await eventually(() => host.counted.length === 1)
    run.submit(head(0), false)
    await eventually(() => receipts.length === 1)
    expect(host.counted).toHaveLength(1)
    expect(certified(receipts[0])).toMatchObject({ attested: { nvContents: Uint8Array.of(1) } })
  })

  test('counts a begin again when the TPM was reset since', async () => {
    const { host, open } = setUp()
    const { run, receipts } = open(newRun({ begun: false }))
    await eventually(() => host.counted.length === 1)
    host.resetCount++
    run.submit(head(0), true)
    await eventually(() => receipts.length === 1)
    expect(host.counted).toHaveLength(2)
    expect(certified(receipts[0])).toMatchObject({
      attested: { nvContents: Uint8Array.of(2) },
      clockInfo: { resetCount: host.resetCount },
    })
  })

  test('takes up a run with the counts of its last receipt', async () => {
    const { open } = setUp()
    const same = open(newRun({ since: { resetCount: 1, restartCount: 0, clock: 0n } }))
    const other = open(newRun({ since: { resetCount: 0, restartCount: 0, clock: 99n } }))
    same.run.submit(head(3), true)
    other.run.submit(head(3), true)
    await eventually(() => same.receipts.length === 1 && other.receipts.length === 1)
    expect([same.receipts[0].boot, other.receipts[0].boot?.bootId]).toEqual([undefined, null])
  })

  test('refuses a run when the TPM is older than its last receipt', async () => {
    const { host, open } = setUp()
    const { run, receipts, refusals } = open()
    run.submit(head(0), true)
    await eventually(() => receipts.length === 1)
    host.resetCount--
    run.submit(head(1), true)
    await eventually(() => refusals.length === 1)
    expect(refusals).toEqual(['TPM_ROLLED_BACK'])
  })

  test('gives a run up when the TPM is reset again and again under one head', async () => {
    const { host, open } = setUp()
    const { run, receipts, refusals } = open()
    run.submit(head(0), true)
    await eventually(() => receipts.length === 1)
    host.beforeQuote = async () => void host.resetCount++
    run.submit(head(1), true)
    await eventually(() => refusals.length === 1)
    expect([refusals, receipts.length, host.quoted.length]).toEqual([['TPM_WAS_RESET'], 1, 7])
  })

  test('drops what comes back for a run that was closed', async () => {
    const { host, hold, answer, open } = setUp()
    const [closed, kept] = [open(), open()]
    hold()
    closed.run.submit(head(0), true)
    kept.run.submit(head(0), true)
    await eventually(() => host.quoted.length === 1)
    closed.run.close()
    await answer()
    await eventually(() => kept.receipts.length === 1)
    expect(closed.receipts).toHaveLength(0)
  })

  test('signs nothing after the TPM failed', async () => {
    const { host, failures, open } = setUp()
    const { run, receipts } = open()
    host.beforeQuote = async () => {
      throw new Error('gone')
    }
    run.submit(head(0), true)
    await eventually(() => failures.length === 1)
    run.submit(head(1), true)
    await new Promise((resolve) => setTimeout(resolve, 5))
    expect([host.quoted.length, receipts.length]).toEqual([1, 0])
  })
})
