/**
 * Complete, signed records for tests. A `Draft` is what a run measured; `sign` makes its attestations
 * as an honest signer would. Changing the draft gives a record that lies and is signed; changing what
 * `sign` returns gives one that was tampered with.
 */
import {
  attestationDigest,
  batchDigest,
  computationId,
  concat,
  cumulativeChain,
  decodeTpmtPublic,
  encodeTpmsAttest,
  environmentDigest,
  fromHex,
  headDigest,
  joinedDigest,
  hex,
  hostEntryNames,
  hostId,
  inclusionPath,
  logEntryName,
  objectName,
  outcomeDigest,
  outcomeOutputsRoot,
  pagesRoot,
  snapshotChain,
  treeHash,
  treeRoot,
  utf8,
  ZERO_DIGEST,
  type AttachedBlob,
  type Attempt,
  type Attestation,
  type BlobRef,
  type Checkpoint,
  type Computation,
  type Environment,
  type Joined,
  type Outcome,
  type OutcomeOutput,
  type RecordDocument,
  type Snapshot,
  type TpmsAttestFields,
  type TpmsClockInfo,
} from '@reprise/core'
import { eccTpm, quoteFields, type ImitationTpm } from './imitation-tpm.ts'
import { nodeCrypto } from './node-crypto.ts'
import { bootStatement, counterStatement, type PlannedBoot, type PlannedCounter } from './statements.ts'

const { sha256 } = nodeCrypto

/** Everything can be changed: that is what drafts are for. */
export type Mutable<T> = T extends Uint8Array ? T : T extends object ? { -readonly [K in keyof T]: Mutable<T[K]> } : T

export interface PlannedQuote {
  attempt: number
  seq: number
  clockInfo: TpmsClockInfo
  /** Heads of other runs in the same batch, and the place of ours among them. */
  batch: { others: number; index: number }
  /** What the host's TPM says of its start-up and its counter, for this attestation to carry. */
  boot?: PlannedBoot
  counter?: PlannedCounter
  /** What the signer was told, where it was not what the record says. */
  told?: { cumulative?: Uint8Array; snapshots?: Uint8Array }
  /** Registers that had another value than the draft says. */
  pcrs?: Record<string, Uint8Array>
}

export interface Draft {
  computation: Mutable<Computation>
  run: string
  hosts: { tpm: ImitationTpm; ek: Uint8Array | null; certificates?: Uint8Array[] }[]
  attempts: Mutable<Attempt>[]
  checkpoints: Mutable<Checkpoint>[]
  snapshots: Mutable<Snapshot>[]
  outcome: Mutable<Outcome> | null
  quotes: PlannedQuote[]
  pcrs: Record<string, Uint8Array>
  contents: Uint8Array[]
  /** Those that the environments name. */
  logs: Uint8Array[]
}

/** A signed record, before it is packed. */
export interface Signed {
  document: Mutable<RecordDocument>
  checkpoints: Mutable<Checkpoint>[]
  snapshots: Mutable<Snapshot>[]
  attestations: Mutable<Attestation>[]
  evidence: Map<string, Uint8Array>
  blobs: (AttachedBlob & { bytes: Uint8Array })[]
}

export function blobRef(content: Uint8Array): BlobRef {
  return { lengthBytes: content.length, sha256: hex(sha256(content)) }
}

export function outputOf(path: string, content: Uint8Array): OutcomeOutput {
  const { lengthBytes, sha256: digest } = blobRef(content)
  return { length: lengthBytes, pages: hex(pagesRoot(content, sha256)), path, sha256: digest }
}

const PROGRAM = utf8('\0asm\x01\0\0\0')
const DATA = utf8('x,y\n1,2\n')
const STDOUT = utf8('mean 1.5\n')
/** A page and a bit. */
export const RESULT = utf8('1,2,3,4\n'.repeat(600))
const NOTHING = new Uint8Array()

const FUEL = '1000'

export function sampleComputation(): Mutable<Computation> {
  return {
    schema: 'reprise/computation/v1',
    semantics: 'wasm/1',
    program: blobRef(PROGRAM),
    arguments: ['mean.wasm', 'data.csv'],
    environment: { LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8' },
    stdin: blobRef(NOTHING),
    mounts: [
      {
        at: '/',
        output: true,
        source: { kind: 'files', files: [{ ...blobRef(DATA), path: 'data.csv', readOnly: false }] },
        writable: true,
      },
    ],
    clock: '946684800000000000',
    seed: '0',
    floats: 'canonical',
    limits: { memoryPages: 32768, stackSlots: 262144 },
    checkpoints: { kind: 'grid', fuel: FUEL, strideBytes: 67108864, strideMax: 1024 },
    success: [{ checkpoints: 'exact' }, { output: 'result.csv', compare: { kind: 'numbers', abs: 1e-9, rel: 1e-6 } }],
  }
}

export function sampleEnvironment(): Mutable<Environment> {
  return {
    schema: 'reprise/environment/v1',
    architecture: 'x64',
    bootId: '7c6f1a52-8a38-4f0a-9a5d-5d6f7a1f2c11',
    cpu: 'a CPU',
    ekCertificate: null,
    follows: [],
    kernel: '6.1.0',
    logs: [],
    node: '26.10.0',
    platform: 'linux',
    repeats: null,
    reprise: '0.1.0',
    rewriter: '1',
    startedAt: '2026-11-22T03:25:00Z',
    tpm: { firmware: '20200312.120000', manufacturer: 'IBM', transport: 'swtpm' },
    v8: '14.0',
  }
}

/** What the guest's memory was does not matter to a record: any 32 bytes are a state. */
export function stateOf(seq: number): string {
  return hex(sha256(utf8(`state ${seq}`)))
}

export function clockAt(clock: number, resetCount = 7, restartCount = 1): TpmsClockInfo {
  return { clock: BigInt(clock), resetCount, restartCount, safe: true }
}

/** Five checkpoints, three attestations, one host, an outcome with three outputs. */
export function draft(): Draft {
  const outputs = [outputOf('/dev/stderr', NOTHING), outputOf('/dev/stdout', STDOUT), outputOf('result.csv', RESULT)]
  const outcome: Mutable<Outcome> = { exit: { code: 0 }, outputs }
  const before = hex(
    outcomeOutputsRoot(
      { exit: { code: 0 }, outputs: [outputOf('/dev/stderr', NOTHING), outputOf('/dev/stdout', NOTHING)] },
      sha256,
    ),
  )
  const after = hex(outcomeOutputsRoot(outcome, sha256))
  return {
    computation: sampleComputation(),
    run: hex(sha256(utf8('run'))),
    hosts: [{ tpm: eccTpm('host 0'), ek: null }],
    attempts: [{ attempt: 1, environment: sampleEnvironment(), firstSeq: 0, from: null, host: 0 }],
    checkpoints: [
      { kind: 1, outputs: before, position: '0', seq: 0, state: stateOf(0) },
      { kind: 1, outputs: before, position: '1003', seq: 1, state: stateOf(1) },
      { kind: 2, outputs: after, position: '1500', seq: 2, state: stateOf(2) },
      { kind: 1, outputs: after, position: '2000', seq: 3, state: stateOf(3) },
      { kind: 3, outputs: after, position: '2717', seq: 4, state: stateOf(4) },
    ],
    snapshots: [],
    outcome,
    quotes: [0, 2, 4].map((seq, i) => ({
      attempt: 1,
      seq,
      clockInfo: clockAt(60_000 + 500 * i),
      batch: { others: 0, index: 0 },
    })),
    pcrs: Object.fromEntries(
      Array.from({ length: 8 }, (_, pcr) => [pcr, pcr < 4 ? sha256(utf8(`pcr ${pcr}`)) : ZERO_DIGEST]),
    ),
    contents: [PROGRAM, DATA, STDOUT, RESULT, NOTHING],
    logs: [],
  }
}

/** What can go wrong inside the signer: the last look at a quote before it is signed. */
export type SignerHook = (fields: TpmsAttestFields, index: number) => TpmsAttestFields

export function sign(draft: Draft, hook: SignerHook = (fields) => fields): Signed {
  const document: RecordDocument = {
    schema: 'reprise/record/v1',
    attempts: draft.attempts,
    computation: draft.computation,
    hosts: draft.hosts.map(({ ek, certificates = [] }, i) => ({
      ak: hostEntryNames(i).ak,
      certificates: certificates.map((_, place) => hostEntryNames(i).certificate(place)),
      ek: ek === null ? null : hostEntryNames(i).ek,
    })),
    outcome: draft.outcome,
    run: draft.run,
  }
  const evidence = new Map<string, Uint8Array>()
  for (const [i, { tpm, ek, certificates = [] }] of draft.hosts.entries()) {
    evidence.set(hostEntryNames(i).ak, tpm.publicArea)
    for (const [place, der] of certificates.entries()) evidence.set(hostEntryNames(i).certificate(place), der)
    if (ek !== null) evidence.set(hostEntryNames(i).ek, ek)
  }
  for (const log of draft.logs) evidence.set(logEntryName(hex(sha256(log))), log)
  const cumulatives = chainOf(draft)
  let previous: Uint8Array = ZERO_DIGEST
  const attestations = draft.quotes.map((quote, i) => {
    const signed = attest(draft, { quote, i, cumulative: cumulatives[quote.seq], previous, hook })
    previous = attestationDigest(fromHex(signed.attest), fromHex(signed.signature), sha256)
    return signed
  })
  return {
    document: structuredClone(document) as Mutable<RecordDocument>,
    checkpoints: structuredClone(draft.checkpoints),
    snapshots: structuredClone(draft.snapshots),
    attestations,
    evidence,
    blobs: draft.contents.map((bytes) => ({ ...blobRef(bytes), bytes, open: () => [bytes] })),
  }
}

export function chainOf({ computation, checkpoints, outcome }: Draft): Uint8Array[] {
  const chain = cumulativeChain(sha256)
  let cumulative = chain.start(computationId(computation, sha256))
  const final = outcome === null ? ZERO_DIGEST : outcomeDigest(outcome, sha256)
  return checkpoints.map(({ kind, outputs, position, seq, state }) => {
    cumulative = chain.next(cumulative, {
      seq,
      position: BigInt(position),
      kind,
      stateRoot: fromHex(state),
      outputsRoot: fromHex(outputs),
      outcome: kind === 3 ? final : ZERO_DIGEST,
    })
    return cumulative
  })
}

function attest(
  draft: Draft,
  from: { quote: PlannedQuote; i: number; cumulative: Uint8Array; previous: Uint8Array; hook: SignerHook },
): Mutable<Attestation> {
  const { quote, i, cumulative, previous, hook } = from
  const pcrs = { ...draft.pcrs, ...quote.pcrs }
  const { attempt, environment, firstSeq, host } = draft.attempts[quote.attempt - 1]
  const { tpm } = draft.hosts[host]
  const name = objectName(decodeTpmtPublic(tpm.publicArea), nodeCrypto.hash)
  const ofHost = { tpm, hostId: hostId(name, sha256) }
  const begins = draft.quotes.findIndex((other) => other.attempt === attempt) === i
  const count = { purpose: begins ? 'begin' : 'end', runId: fromHex(draft.run), attempt, previous } as const
  const joined: Joined = {
    ...(quote.boot !== undefined && { boot: bootStatement(ofHost, quote.boot) }),
    ...(quote.counter !== undefined && { counter: counterStatement(ofHost, quote.counter, count) }),
  }
  const head = headDigest(
    {
      runId: fromHex(draft.run),
      attempt,
      firstSeq,
      seq: quote.seq,
      cumulative: quote.told?.cumulative ?? cumulative,
      snapshots:
        quote.told?.snapshots ?? snapshotChain(computationId(draft.computation, sha256), draft, sha256).at(quote.seq),
      environmentDigest: environmentDigest(environment, sha256),
      previous: joinedDigest(previous, joined, sha256),
    },
    sha256,
  )
  const tree = treeHash('batch', sha256)
  const heads = Array.from({ length: quote.batch.others }, (_, other) => sha256(utf8(`head ${other}`)))
  heads.splice(quote.batch.index, 0, head)
  const leaves = heads.map((each) => tree.leaf(each))
  const seq = BigInt(12 + i)
  const extraData = batchDigest({ hostId: ofHost.hostId, seq, root: treeRoot(tree, leaves) }, sha256)
  const fields = hook(quoteFields(tpm, { extraData, clockInfo: quote.clockInfo, pcrs }), i)
  const attest = encodeTpmsAttest(fields)
  return {
    attempt,
    attest: hex(attest),
    batch: {
      count: leaves.length,
      index: quote.batch.index,
      path: inclusionPath(tree, leaves, quote.batch.index).map(hex),
      seq: String(seq),
    },
    pcrs: { sha256: Object.fromEntries(Object.entries(pcrs).map(([pcr, value]) => [pcr, hex(value)])) },
    seq: quote.seq,
    signature: hex(tpm.sign(attest)),
    ...structuredClone(joined),
  }
}

/** All pieces of a stream. */
export async function collected(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const chunk of chunks) parts.push(chunk)
  return concat(...parts)
}
