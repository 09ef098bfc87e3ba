/** A record's attestations for {@link exportTpm2}, each with the qualification that a head demands. */
import {
  attestationDigest,
  batchDigest,
  computationId,
  cumulativeOf,
  decodeTpmtPublic,
  environmentDigest,
  EvidenceError,
  fromHex,
  headDigest,
  joinedDigest,
  hostId,
  objectName,
  rootFromPath,
  snapshotChain,
  treeHash,
  ZERO_DIGEST,
  type Attestation,
} from '@reprise/core'
import { nodeCrypto } from '../crypto.ts'
import type { LoadedRecord } from '../record/index.ts'
import { exportTpm2, type Tpm2Attestation } from './tpm2.ts'

/**
 * Writes the folder of {@link exportTpm2} for a record.
 *
 * @returns How many attestations were written.
 */
export async function exportRecord(record: LoadedRecord, folder: string): Promise<number> {
  const { document } = record
  const keys: Uint8Array[] = []
  for (const { ak } of document.hosts) {
    const key = await record.evidence(ak)
    if (key === undefined) throw new EvidenceError('STRUCTURE', { message: `${record.path} lacks ${ak}` })
    keys.push(key)
  }
  const hostIds = keys.map((key) => hostId(objectName(decodeTpmtPublic(key), nodeCrypto.hash), nodeCrypto.sha256))
  return await exportTpm2({ akPublics: keys, attestations: tpm2Attestations(record, hostIds) }, folder)
}

async function* tpm2Attestations(
  record: LoadedRecord,
  hostIds: readonly Uint8Array[],
): AsyncGenerator<Tpm2Attestation> {
  const qualify = await qualifications(record, hostIds)
  for await (const batch of record.attestations()) {
    for (const attestation of batch) {
      const host = record.document.attempts[attestation.attempt - 1]?.host ?? 0
      yield { ...tpm2Attestation(attestation, qualify(attestation)), host }
    }
  }
}

function tpm2Attestation(
  { attest, signature, pcrs }: Attestation,
  qualification: Uint8Array,
): Omit<Tpm2Attestation, 'host'> {
  const values = Object.entries(pcrs.sha256).map(([index, value]) => [index, fromHex(value)])
  return {
    attest: fromHex(attest),
    signature: fromHex(signature),
    pcrs: { sha256: Object.fromEntries(values) },
    qualification,
  }
}

/** What extraData should be, attestation after attestation, in their order (spec/measurement.md §6). */
async function qualifications(
  record: LoadedRecord,
  hostIds: readonly Uint8Array[],
): Promise<(attestation: Attestation) => Uint8Array> {
  const { sha256 } = nodeCrypto
  const { document } = record
  const snapshots = snapshotChain(computationId(document.computation, sha256), record, sha256)
  const chain = await attestedCumulatives(record)
  const tree = treeHash('batch', sha256)
  let previous = ZERO_DIGEST
  return (attestation) => {
    const { attempt: number, seq, batch, attest, signature } = attestation
    const attempt = document.attempts[number - 1]
    const cumulative = chain.get(seq)
    if (attempt === undefined || cumulative === undefined)
      throw new EvidenceError('STRUCTURE', {
        message: `an attestation covers checkpoint ${seq} of attempt ${number}, which are not there`,
      })
    const head = headDigest(
      {
        runId: fromHex(document.run),
        attempt: number,
        firstSeq: attempt.firstSeq,
        seq,
        cumulative,
        snapshots: snapshots.at(seq),
        environmentDigest: environmentDigest(attempt.environment, sha256),
        previous: joinedDigest(previous, attestation, sha256),
      },
      sha256,
    )
    previous = attestationDigest(fromHex(attest), fromHex(signature), sha256)
    const path = batch.path.map(fromHex)
    const root = rootFromPath(tree, { leaf: tree.leaf(head), index: batch.index, leafCount: batch.count, path })
    if (root === undefined)
      throw new EvidenceError('STRUCTURE', {
        message: `the inclusion path of the attestation for checkpoint ${seq} has the wrong length`,
      })
    return batchDigest({ hostId: hostIds[attempt.host], seq: BigInt(batch.seq), root }, sha256)
  }
}

/** C at those checkpoints that an attestation names. */
async function attestedCumulatives(record: LoadedRecord): Promise<ReadonlyMap<number, Uint8Array>> {
  const attested = new Set<number>()
  for await (const batch of record.attestations()) for (const { seq } of batch) attested.add(seq)
  const next = cumulativeOf(record.document, nodeCrypto.sha256)
  const found = new Map<number, Uint8Array>()
  for (const checkpoint of record.checkpoints) {
    const cumulative = next(checkpoint)
    if (attested.has(checkpoint.seq)) found.set(checkpoint.seq, cumulative)
  }
  return found
}
