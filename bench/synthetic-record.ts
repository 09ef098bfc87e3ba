/** A record as long as one likes, signed by a key that no TPM holds: everything in it is right, and it verifies. */

import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import {
  assembleRecord,
  type Attestation,
  attestationDigest,
  attestationKey,
  batchDigest,
  type Checkpoint,
  CHECKPOINT_FINAL,
  CHECKPOINT_GRID,
  computationId,
  concat,
  cumulativeChain,
  encodeTpmsAttest,
  encodeTpmtPublic,
  encodeTpmtSignature,
  environmentDigest,
  fromHex,
  headDigest,
  hex,
  hostEntryNames,
  outcomeDigest,
  type OutcomeOutput,
  outcomeOutputsRoot,
  pagesRoot,
  type RecordDocument,
  snapshotsStart,
  TPM_ALG,
  TPM_ECC,
  TPM_ST,
  TPMA_OBJECT,
  treeHash,
  treeRoot,
  utf8,
  writeZip,
  ZERO_DIGEST,
} from '@reprise/core'
import { nodeCrypto } from '../packages/runner/src/crypto.ts'

const { sha256 } = nodeCrypto
const FUEL = 1_000_000n
const PCRS = [0, 1, 2, 3, 4, 5, 6, 7]

/** @param run - Distinguishes records; two of one number have the same states. */
export async function syntheticRecord(size: {
  readonly checkpoints: number
  readonly attestations: number
  readonly run: number
}): Promise<Uint8Array> {
  const document = documentOf(size.run)
  const checkpoints = checkpointsOf(document, size)
  const key = softwareKey()
  const attestations = attest({ document, checkpoints, count: size.attestations, key })
  const parts = assembleRecord({
    document,
    checkpoints: () => checkpoints,
    snapshots: [],
    attestations: () => attestations,
    evidence: new Map([[hostEntryNames(0).ak, key.tpmtPublic]]),
    blobs: [],
  })
  const pieces: Uint8Array[] = []
  for await (const piece of writeZip(parts)) pieces.push(piece)
  return concat(...pieces)
}

function digestOf(text: string): Uint8Array {
  return sha256(utf8(text))
}

function documentOf(run: number): RecordDocument {
  const blob = (text: string): { lengthBytes: number; sha256: string } => ({
    lengthBytes: utf8(text).length,
    sha256: hex(digestOf(text)),
  })
  const output = (path: string): OutcomeOutput => ({
    length: 0,
    pages: hex(pagesRoot(new Uint8Array(), sha256)),
    path,
    sha256: blob('').sha256,
  })
  return {
    schema: 'reprise/record/v1',
    attempts: [
      {
        attempt: 1,
        environment: {
          schema: 'reprise/environment/v1',
          architecture: 'x64',
          bootId: null,
          cpu: 'synthetic',
          ekCertificate: null,
          follows: [],
          kernel: '0',
          logs: [],
          node: process.versions.node,
          platform: 'linux',
          repeats: null,
          reprise: '0.0.0',
          rewriter: '0',
          startedAt: '2000-01-01T00:00:00Z',
          tpm: { firmware: '0', manufacturer: 'NONE', transport: 'swtpm' },
          v8: process.versions.v8,
        },
        firstSeq: 0,
        from: null,
        host: 0,
      },
    ],
    computation: {
      schema: 'reprise/computation/v1',
      semantics: 'wasm/1',
      program: blob('program'),
      arguments: ['program'],
      environment: {},
      stdin: blob(''),
      mounts: [{ at: '/', output: true, writable: true, source: { kind: 'files', files: [] } }],
      clock: '946684800000000000',
      seed: '0',
      floats: 'canonical',
      limits: { memoryPages: 1024, stackSlots: 65536 },
      checkpoints: { kind: 'grid', fuel: String(FUEL), strideBytes: 67108864, strideMax: 1024 },
      success: [{ checkpoints: 'exact' }],
    },
    hosts: [{ ak: hostEntryNames(0).ak, certificates: [], ek: null }],
    outcome: { exit: { code: 0 }, outputs: [output('/dev/stderr'), output('/dev/stdout')] },
    run: hex(digestOf(`run ${run}`)),
  }
}

function checkpointsOf({ outcome }: RecordDocument, size: { checkpoints: number; run: number }): readonly Checkpoint[] {
  if (outcome === null) throw new Error('a synthetic run has an outcome')
  const outputs = hex(outcomeOutputsRoot(outcome, sha256))
  return Array.from({ length: size.checkpoints }, (_, seq) => ({
    kind: seq === size.checkpoints - 1 ? CHECKPOINT_FINAL : CHECKPOINT_GRID,
    outputs,
    position: String(BigInt(seq) * FUEL),
    seq,
    state: hex(digestOf(`state ${size.run} ${seq}`)),
  }))
}

interface SoftwareKey {
  readonly privateKey: KeyObject
  readonly tpmtPublic: Uint8Array
}

function softwareKey(): SoftwareKey {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { x, y } = publicKey.export({ format: 'jwk' })
  const bytes = (coordinate: string | undefined): Uint8Array =>
    new Uint8Array(Buffer.from(coordinate ?? '', 'base64url'))
  const { fixedTPM, fixedParent, sensitiveDataOrigin, restricted, sign: signs, userWithAuth } = TPMA_OBJECT
  const tpmtPublic = encodeTpmtPublic({
    type: TPM_ALG.ECC,
    nameAlg: TPM_ALG.SHA256,
    objectAttributes: fixedTPM | fixedParent | sensitiveDataOrigin | restricted | signs | userWithAuth,
    authPolicy: new Uint8Array(),
    parameters: {
      symmetric: { algorithm: TPM_ALG.NULL },
      scheme: { scheme: TPM_ALG.ECDSA, hashAlg: TPM_ALG.SHA256 },
      curveId: TPM_ECC.NIST_P256,
      kdf: { scheme: TPM_ALG.NULL },
    },
    unique: { x: bytes(x), y: bytes(y) },
  })
  return { privateKey, tpmtPublic }
}

function attest(of: {
  readonly document: RecordDocument
  readonly checkpoints: readonly Checkpoint[]
  readonly count: number
  readonly key: SoftwareKey
}): readonly Attestation[] {
  const { document, checkpoints, count, key } = of
  if (document.outcome === null) throw new Error('a synthetic run has an outcome')
  const { hostId, qualifiedName } = attestationKey(key.tpmtPublic, nodeCrypto)
  const id = computationId(document.computation, sha256)
  const outcome = outcomeDigest(document.outcome, sha256)
  const environment = environmentDigest(document.attempts[0].environment, sha256)
  const snapshots = snapshotsStart(id, sha256)
  const pcrDigest = sha256(new Uint8Array(32 * PCRS.length))
  const tree = treeHash('batch', sha256)
  const chain = cumulativeChain(sha256)
  let cumulative = chain.start(id)
  let previous = ZERO_DIGEST
  const attestations: Attestation[] = []
  for (const { kind, outputs, position, seq, state } of checkpoints) {
    cumulative = chain.next(cumulative, {
      seq,
      position: BigInt(position),
      kind,
      stateRoot: fromHex(state),
      outputsRoot: fromHex(outputs),
      outcome: kind === CHECKPOINT_FINAL ? outcome : ZERO_DIGEST,
    })
    // The first, the last, and what lies evenly between.
    const index = attestations.length
    if (seq !== Math.round((index * (checkpoints.length - 1)) / Math.max(1, count - 1))) continue
    const runId = fromHex(document.run)
    const head = headDigest(
      { runId, attempt: 1, firstSeq: 0, seq, cumulative, snapshots, environmentDigest: environment, previous },
      sha256,
    )
    const batch = { hostId, seq: BigInt(index), root: treeRoot(tree, [tree.leaf(head)]) }
    const attest = encodeTpmsAttest({
      type: TPM_ST.ATTEST_QUOTE,
      qualifiedSigner: qualifiedName,
      extraData: batchDigest(batch, sha256),
      clockInfo: { clock: BigInt(1000 + index), resetCount: 1, restartCount: 0, safe: true },
      firmwareVersion: 0n,
      attested: { pcrSelect: [{ hash: TPM_ALG.SHA256, pcrs: PCRS }], pcrDigest },
    })
    const signature = encodeTpmtSignature({
      scheme: { kind: 'ecdsa', hash: 'sha256' },
      signature: sign('sha256', attest, { key: key.privateKey, dsaEncoding: 'ieee-p1363' }),
    })
    previous = attestationDigest(attest, signature, sha256)
    attestations.push({
      attempt: 1,
      attest: hex(attest),
      batch: { count: 1, index: 0, path: [], seq: String(index) },
      pcrs: { sha256: Object.fromEntries(PCRS.map((pcr) => [String(pcr), '00'.repeat(32)])) },
      seq,
      signature: hex(signature),
    })
  }
  return attestations
}
