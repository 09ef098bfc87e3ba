/** A record, read so that it can be repeated, compared or exported. Whether it holds is for `verifyRecord`. */
import {
  cumulativeOf,
  EvidenceError,
  hex,
  openRecord,
  ZERO_DIGEST,
  type Attestation,
  type RecordDocument,
  type Snapshot,
} from '@reprise/core'
import { nodeCrypto } from '../crypto.ts'
import { CheckpointTable, type CheckpointList } from './checkpoint-table.ts'
import { readingRecord, type FileSource } from './source.ts'

export interface LoadedRecord extends AsyncDisposable {
  readonly path: string
  readonly document: RecordDocument
  readonly checkpoints: CheckpointList
  readonly snapshots: readonly Snapshot[]
  /** In the order of signing, many at a time, from the file. */
  attestations(): AsyncIterable<readonly Attestation[]>
  /** C after the last checkpoint, recomputed, hex. */
  readonly cumulative: string
  /** An entry below evidence/. */
  evidence(name: string): Promise<Uint8Array | undefined>
  /** An attached blob, checked; undefined when it is not attached. */
  blob(sha256: string): Promise<Uint8Array | undefined>
}

const BLOB_BYTES_MAX = 2 ** 32
const EVIDENCE_ENTRY_BYTES_MAX = 16 << 20

/**
 * @throws RunnerError when the file cannot be read; {@link EvidenceError} when it is no record, or is too
 *   damaged to be read as one.
 */
export async function loadRecord(path: string): Promise<LoadedRecord> {
  return await readingRecord(path, (source) => load(path, source))
}

async function load(path: string, source: FileSource): Promise<LoadedRecord> {
  const opened = await openRecord(source)
  const { document } = opened
  if (document === undefined) {
    throw new EvidenceError('NOT_A_RECORD', {
      message: 'damaged: its definition cannot be read',
      hint: `see what is wrong with: reprise verify ${path}`,
    })
  }
  const checkpoints = new CheckpointTable()
  const next = cumulativeOf(document, nodeCrypto.sha256)
  let cumulative = ZERO_DIGEST
  for await (const batch of opened.checkpoints()) {
    for (const checkpoint of batch) {
      if (checkpoint.seq !== checkpoints.length) throw outOfOrder(path, checkpoint.seq)
      checkpoints.push(checkpoint)
      cumulative = next(checkpoint)
    }
  }
  return {
    path,
    document,
    checkpoints,
    snapshots: opened.snapshots.lines,
    attestations: () => opened.attestations(),
    cumulative: hex(cumulative),
    async evidence(name) {
      return await opened.entries.get(name)?.bytes(EVIDENCE_ENTRY_BYTES_MAX)
    },
    async blob(sha256) {
      const bytes = await opened.blob(sha256)?.bytes(BLOB_BYTES_MAX)
      if (bytes !== undefined && hex(nodeCrypto.sha256(bytes)) !== sha256) {
        throw new EvidenceError('STRUCTURE', {
          message: `the blob ${sha256} in ${path} has another content`,
          hint: `see: reprise verify ${path}`,
        })
      }
      return bytes
    },
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  }
}

function outOfOrder(path: string, seq: number): EvidenceError {
  return new EvidenceError('STRUCTURE', {
    message: `checkpoint ${seq} of ${path} does not stand where it should`,
    hint: `see: reprise verify ${path}`,
  })
}
