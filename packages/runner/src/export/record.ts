/** A record's attestations for {@link exportTpm2}, each with the qualification that a head demands. */
import {
  attestationDigest,
  batchDigest,
  computationId,
  cumulatives,
  decodeTpmtPublic,
  environmentDigest,
  EvidenceError,
  fromHex,
  headDigest,
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
  const { document, attestations } = record
  const [host] = document.hosts
  const akPublic = host === undefined ? undefined : await record.evidence(host.ak)
  if (akPublic === undefined || document.hosts.length !== 1) {
    throw new EvidenceError('STRUCTURE', {
      message: `${record.path} names ${document.hosts.length} hosts; the attestations of one are exported`,
    })
  }
  const name = objectName(decodeTpmtPublic(akPublic), nodeCrypto.hash)
  const qualify = qualifications(record, hostId(name, nodeCrypto.sha256))
  await exportTpm2(
    { akPublic, attestations: attestations.map((attestation) => tpm2Attestation(attestation, qualify(attestation))) },
    folder,
  )
  return attestations.length
}

function tpm2Attestation({ attest, signature, pcrs }: Attestation, qualification: Uint8Array): Tpm2Attestation {
  const values = Object.entries(pcrs.sha256).map(([index, value]) => [index, fromHex(value)])
  return {
    attest: fromHex(attest),
    signature: fromHex(signature),
    pcrs: { sha256: Object.fromEntries(values) },
    qualification,
  }
}

/** What extraData should be, attestation after attestation, in their order (spec/measurement.md §6). */
function qualifications(record: LoadedRecord, host: Uint8Array): (attestation: Attestation) => Uint8Array {
  const { sha256 } = nodeCrypto
  const { document } = record
  const snapshots = snapshotChain(computationId(document.computation, sha256), record, sha256)
  const chain = cumulatives(document, record.checkpoints, sha256)
  const tree = treeHash('batch', sha256)
  let previous = ZERO_DIGEST
  return ({ attempt: number, seq, batch, attest, signature }) => {
    const attempt = document.attempts[number - 1]
    const cumulative = chain[seq]
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
        previous,
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
    return batchDigest({ hostId: host, seq: BigInt(batch.seq), root }, sha256)
  }
}
