/** Reading a snapshot that was signed. Rules: spec/record.md §8.7. */
import {
  decodeManifestBytes,
  EvidenceError,
  fromHex,
  hex,
  manifestBlobs,
  snapshotRoot,
  type Checkpoint,
  type Snapshot,
  type SnapshotManifest,
} from '@reprise/core'
import type { BlobStore } from '../blobs/index.ts'
import { nodeCrypto } from '../crypto.ts'
import { RunnerError } from '../error.ts'

/**
 * Checks every blob that the machine will read by its digest, and the stack by what was signed. The rest of the
 * machine is checked by measuring it.
 *
 * @param checkpoint - The one at which the snapshot was taken.
 * @throws RunnerError `BLOB_MISSING`, `BLOB_CORRUPT`; `NOT_THE_SNAPSHOT` when it is not the one that was signed.
 */
export async function readSnapshot(
  snapshot: Snapshot,
  checkpoint: Pick<Checkpoint, 'seq' | 'state'>,
  store: BlobStore,
): Promise<SnapshotManifest> {
  const manifest = decoded(await store.read(snapshot.manifest), checkpoint.seq)
  for (const { sha256 } of manifestBlobs(manifest)) await checkBlob(store, sha256)
  const frames = await store.read(manifest.frames.sha256)
  const root = snapshotRoot(fromHex(checkpoint.state), frames, nodeCrypto.sha256)
  if (hex(root) !== snapshot.root || manifest.frames.sha256 !== snapshot.frames) throw notTheSnapshot(checkpoint.seq)
  return manifest
}

/** @throws RunnerError `BLOB_MISSING`, `BLOB_CORRUPT`. */
export async function checkBlob(store: BlobStore, sha256: string): Promise<void> {
  for await (const _ of store.stream(sha256));
}

function decoded(bytes: Uint8Array, seq: number): SnapshotManifest {
  try {
    return decodeManifestBytes(bytes)
  } catch (error) {
    if (error instanceof EvidenceError) throw notTheSnapshot(seq, error)
    throw error
  }
}

function notTheSnapshot(seq: number, cause?: unknown): RunnerError {
  return new RunnerError('NOT_THE_SNAPSHOT', {
    message: `the snapshot of checkpoint ${seq} is not the one that was signed`,
    hint: 'it was exchanged, or written by another version; run or repeat the computation from its start',
    ...(cause !== undefined && { cause }),
  })
}
