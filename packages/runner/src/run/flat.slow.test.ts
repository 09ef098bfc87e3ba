/** A run of very many checkpoints, and one that goes on from it, keep no more in memory than a short one. */
import { mkdtemp, rm } from 'node:fs/promises'
import { hash } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import {
  encodeTpmsAttest,
  fromHex,
  hex,
  TPM_ALG,
  TPM_ST,
  type Attempt,
  type Attestation,
  type SnapshotManifest,
} from '@reprise/core'
import type { RunSigner, Signer } from '@reprise/host'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openBlobStore, type BlobStore } from '../blobs/index.ts'
import { WHILE_SMALL } from '../dirty-pages/index.ts'
import { createJournal, journalPath, openJournal, readRun, resumePoint, type JournalRun } from '../journal/index.ts'
import { attemptOf, computation, D, HOSTS } from '../journal/testing.ts'
import type { WasmMachine } from '../machine/index.ts'
import { loadRecord } from '../record/index.ts'
import { recordedPositions } from '../repeat/repeat.ts'
import { chainsAt } from './chains.ts'
import { execute, type Session } from './execute.ts'
import { earlierOf } from './resume.ts'

const CHECKPOINTS = process.env['REPRISE_TESTS'] === 'nightly' ? 1_000_000 : 100_000
/** Kept as objects, the checkpoints of the short run's first half would take 12 MB; measured are 0.5 MB. */
const GROWTH_BYTES_MAX = 5 << 20
/** A million take two minutes where nothing else is going on. */
const TIMES = { timeout: CHECKPOINTS * 2.4 + 60_000 }
const RUN = 'ab'.repeat(32)
const SIGN_EVERY = 20

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/**
 * Bytes that are in use after everything that can be was let go of. Buffers of streams that have ended are let go of
 * some turns of the event loop later, so that one collection alone says up to 7 MB too much: the least of several.
 */
async function usedBytes(): Promise<number> {
  let least = Infinity
  for (let turn = 0; turn < 5; turn++) {
    await new Promise((resolve) => setImmediate(resolve))
    collect()
    const { heapUsed, external } = process.memoryUsage()
    least = Math.min(least, heapUsed + external)
  }
  return least
}

/** A host without logs, of which nothing is demanded. */
const ABSENT = { kind: 'absent', why: 'there is none' } as const
const NOTHING_SEEN: Session['look'] = {
  found: [],
  logs: { boot: ABSENT, ima: ABSENT, own: ABSENT },
  quote: undefined,
}

/** A machine that only counts: its state at a position is the digest of it. */
function countingMachine(options: {
  from: number
  until: number
  onStop: (seq: number) => Promise<void>
}): WasmMachine {
  let seq = options.from
  const rootOf = (text: string): Uint8Array => hash('sha256', text, 'buffer')
  return {
    restored: undefined,
    memoryBytesAtStart: 0,
    rewrite: { cached: true, elapsedMs: 0 },
    async runTo(position) {
      seq += 1
      await options.onStop(seq)
      return seq === options.until
        ? { kind: 'interrupted', position, memoryBytes: 0 }
        : { kind: 'due', position, memoryBytes: 0 }
    },
    measure: async () => ({
      position: BigInt(seq) * 1000n,
      stateRoot: rootOf(`state ${seq}`),
      outputsRoot: fromHex(D),
    }),
    snapshot: async () => ({ root: rootOf(`root ${seq}`), frames: D, manifest: D, addedBytes: 0 }),
    state: async () => ({ memory: new Uint8Array(), engineState: new Uint8Array() }),
    results: async () => ({ outputs: [], removed: [], notes: [] }),
    interrupt: () => undefined,
    progress: () => ({ position: BigInt(seq), memoryBytes: 0, measureMs: 0, captureMs: 0, dirtyPages: WHILE_SMALL }),
    [Symbol.asyncDispose]: async () => undefined,
  }
}

function quoteAt(seq: number): Parameters<typeof encodeTpmsAttest>[0] {
  return {
    type: TPM_ST.ATTEST_QUOTE,
    qualifiedSigner: new Uint8Array(34),
    extraData: new Uint8Array(32),
    clockInfo: { clock: BigInt(seq), resetCount: 1, restartCount: 0, safe: true },
    firmwareVersion: 1n,
    attested: { pcrSelect: [{ hash: TPM_ALG.SHA256, pcrs: [0] }], pcrDigest: new Uint8Array(32) },
  }
}

/** Signs every few heads, and those that somebody waits for. */
function countingSigner(attempt: number): { readonly signer: Signer; readonly runSigner: RunSigner } {
  let onReceipt: ((attestation: Attestation) => void) | undefined
  let signedSeq = -1
  const sign = (seq: number): Attestation => {
    const attestation = {
      attempt,
      attest: hex(encodeTpmsAttest(quoteAt(seq))),
      batch: { count: 1, index: 0, path: [], seq: String(seq) },
      pcrs: { sha256: { '0': D } },
      seq,
      signature: '00',
    }
    if (seq > signedSeq) onReceipt?.(attestation)
    signedSeq = Math.max(signedSeq, seq)
    return attestation
  }
  const runSigner: RunSigner = {
    get signedSeq() {
      return signedSeq
    },
    submit: ({ seq }, { urgent } = {}) => void ((urgent === true || seq % SIGN_EVERY === 0) && sign(seq)),
    waitFor: async (seq) => sign(seq),
    listen: (listener) => void (onReceipt = listener),
    close: () => undefined,
  }
  const signer: Signer = {
    host: {
      hostId: fromHex(D),
      akPublic: fromHex(HOSTS[0].ak),
      akName: fromHex(D),
      ekCertificate: null,
      certificates: [],
      tpm: { manufacturer: 'TEST', firmware: '1', transport: 'swtpm' },
      notices: [],
    },
    openRun: async () => runSigner,
    show: async () => Promise.reject(new Error('not asked for')),
    endorsement: async () => Promise.reject(new Error('not asked for')),
    prove: async () => Promise.reject(new Error('not asked for')),
    keep: async () => Promise.reject(new Error('not asked for')),
    measure: async () => Promise.reject(new Error('not asked for')),
    attest: async () => Promise.reject(new Error('not asked for')),
    stop: async () => undefined,
    close: async () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  }
  return { signer, runSigner }
}

describe(`a run of ${CHECKPOINTS} checkpoints`, () => {
  let home: string
  let store: BlobStore
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'reprise-flat-'))
    store = await openBlobStore(home)
  })
  afterAll(() => rm(home, { recursive: true, force: true }))

  /** Runs up to a checkpoint; says how much memory grew from the first tenth of the way to its end. */
  async function runTo(
    until: number,
    attempt: Attempt,
    // At the first checkpoint of each such stretch that comes after the clock's turn.
    {
      run = RUN,
      snapshotMs = 500,
      ...parts
    }: Pick<Session, 'journal' | 'earlier'> & Partial<{ run: string; snapshotMs: number }>,
  ): Promise<number> {
    let firstBytes = 0
    let lastBytes = 0
    const from = attempt.firstSeq - 1
    const onStop = async (seq: number): Promise<void> => {
      // Timers and the disk have their turn, as beside a machine that takes its time.
      if (seq % 64 === 0) await new Promise((resolve) => setImmediate(resolve))
      if (seq === from + Math.floor((until - from) / 10)) firstBytes = await usedBytes()
      if (seq === until - 1) lastBytes = await usedBytes()
    }
    const machine = countingMachine({ from: Math.max(0, from), until, onStop })
    const { signer, runSigner } = countingSigner(attempt.attempt)
    const result = await execute(
      {
        store,
        home,
        signer: Promise.resolve(signer),
        recordPath: join(home, 'r.reprise'),
        attach: 'none',
        snapshotMs,
      },
      {
        ...{ run, computation, attempt, look: NOTHING_SEEN, machine, prepareMs: 0, keep: 'all' },
        ...{ host: signer.host, runSigner, ...parts },
      },
    )
    expect(result).toMatchObject({ checkpoints: until, signedSeq: until - 1 })
    return lastBytes - firstBytes
  }

  test('takes no more memory than a short one, nor does its record, nor what goes on from it', TIMES, async () => {
    const path = journalPath(home, RUN)
    {
      await using journal = await createJournal(path)
      journal.append({ kind: 'start', attempt: attemptOf(1, null), computation, host: HOSTS[0], run: RUN })
      const grownBytes = await runTo(CHECKPOINTS / 2, attemptOf(1, null), { journal, earlier: undefined })
      expect(grownBytes).toBeLessThan(GROWTH_BYTES_MAX)
    }
    const beforeBytes = await usedBytes()
    const { run, journal } = await openJournal(path)
    await using _journal = journal
    // An older snapshot, so that a good deal of what was signed has to come out again, and newer ones on the way.
    const older = run?.snapshots.findLast(({ seq }) => seq < run.signedSeq - 1000)
    const point = run === undefined ? undefined : resumePoint(run, older?.seq ?? -1)
    if (run === undefined || point === undefined) throw new Error('a run with signed snapshots can be gone on with')
    const earlier = await earlierOf(run, point)
    await using _expected = earlier.expected.stream
    expect((await usedBytes()) - beforeBytes).toBeLessThan(GROWTH_BYTES_MAX)
    expect(earlier.expected.last - point.snapshot.seq).toBeGreaterThan(1000)

    const attempt = attemptOf(2, point.snapshot.seq)
    const begin = async (): Promise<void> => journal.append({ kind: 'attempt', attempt, host: HOSTS[0] })
    const grownBytes = await runTo(CHECKPOINTS, attempt, {
      journal,
      earlier: { ...earlier, begin, manifest: MANIFEST },
    })
    expect(grownBytes).toBeLessThan(GROWTH_BYTES_MAX)

    const { run: whole } = await readRun(path)
    expect(whole).toMatchObject({ checkpointCount: CHECKPOINTS, ended: 'interrupted' })
    await using record = await loadRecord(join(home, 'r.reprise'))
    expect(record.checkpoints.length).toBe(CHECKPOINTS)
    expect(record.cumulative).toBe(hex((await chainsAt(whole as JournalRun, CHECKPOINTS - 1, [])).cumulative))
    expect(recordedPositions(record.checkpoints)(BigInt(CHECKPOINTS - 2) * 1000n)).toBe(BigInt(CHECKPOINTS - 1) * 1000n)
  })

  test('that would be saved at each of them is not saved more often than a record can name', TIMES, async () => {
    const [run, path] = ['cd'.repeat(32), journalPath(home, 'cd'.repeat(32))]
    await using journal = await createJournal(path)
    journal.append({ kind: 'start', attempt: attemptOf(1, null), computation, host: HOSTS[0], run })
    await runTo(CHECKPOINTS, attemptOf(1, null), { journal, earlier: undefined, run, snapshotMs: 0 })
    await using record = await loadRecord(join(home, 'r.reprise'))
    expect(record.checkpoints.length).toBe(CHECKPOINTS)
    expect(record.snapshots.length).toBeGreaterThan(4096)
    expect(record.snapshots.length).toBeLessThan(65_536)
  })
})

const MANIFEST: SnapshotManifest = {
  schema: 'reprise/snapshot/v1',
  contents: [],
  frames: { lengthBytes: 0, sha256: D },
  globals: [],
  host: { lengthBytes: 0, sha256: D },
  memoryBytes: 0,
  packs: [],
  pages: [],
  phase: 'main',
  position: '0',
}
