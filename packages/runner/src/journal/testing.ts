/** Entries of a journal of five checkpoints, for tests. */
import type { Attempt, Attestation, Checkpoint, Computation, Outcome, Snapshot } from '@reprise/core'
import type { JournalEntry } from './entries.ts'

export const D = 'd'.repeat(64)
const BLOB = { lengthBytes: 0, sha256: D }

export const computation: Computation = {
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
  logs: [],
  node: '26',
  platform: 'linux',
  repeats: null,
  reprise: '0',
  rewriter: '1',
  startedAt: '2026-11-22T03:25:00Z',
  tpm: { firmware: '1', manufacturer: 'IBM', transport: 'swtpm' },
  v8: '14',
}
export const outcome: Outcome = {
  exit: { code: 0 },
  outputs: ['/dev/stderr', '/dev/stdout'].map((path) => ({ length: 0, pages: D, path, sha256: D })),
}
export const HOSTS = ['aa', 'bb'].map((ak) => ({ ak, certificates: [], ek: null }))

export const attemptOf = (attempt: number, from: number | null, host = 0): Attempt => ({
  attempt,
  environment,
  firstSeq: from === null ? 0 : from + 1,
  from,
  host,
})
export const checkpointOf = (seq: number, state = D): Checkpoint => ({
  kind: seq === 4 ? 3 : 1,
  outputs: D,
  position: String(seq * 1000),
  seq,
  state,
})
export const snapshotOf = (seq: number): Snapshot => ({ frames: D, manifest: D, root: D, seq })
export const attestationOf = (attempt: number, seq: number): Attestation => ({
  attempt,
  attest: Buffer.of(attempt, seq).toString('hex'),
  batch: { count: 1, index: 0, path: [], seq: '1' },
  pcrs: { sha256: { '0': D } },
  seq,
  signature: '00',
})

/** A start of a run, by the first of the hosts. */
export const startEntry: JournalEntry = {
  kind: 'start',
  attempt: attemptOf(1, null),
  computation,
  host: HOSTS[0],
  run: D,
}

export const checkpointEntry = (seq: number, state?: string): JournalEntry => ({
  kind: 'checkpoint',
  checkpoint: checkpointOf(seq, state),
})
