/** Reading snapshots that were signed. Rules: spec/record.md §8.7. */
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
import type { BlobStore, KeptBlob } from '../blobs/index.ts'
import { blobsOfManifest } from '../collect/index.ts'
import { nodeCrypto } from '../crypto.ts'
import { RunnerError } from '../error.ts'
import { mapLimited } from '../parallel.ts'
import type { RunResult } from './types.ts'

const LOOKED_FOR_AT_ONCE = 4

/**
 * Checks that all is there that the machine will read, and the stack by what was signed. The rest is checked where it is read,
 * the memory as a whole by the state that it gives: it is large, and decompressed and hashed once.
 *
 * @param checkpoint - The one at which the snapshot was taken.
 * @throws RunnerError `BLOB_MISSING`; `BLOB_CORRUPT` for manifest and stack; `NOT_THE_SNAPSHOT` when it is not the one that was
 *   signed.
 */
export async function readSnapshot(
  snapshot: Snapshot,
  checkpoint: Pick<Checkpoint, 'seq' | 'state'>,
  store: BlobStore,
): Promise<SnapshotManifest> {
  const manifest = decoded(await store.read(snapshot.manifest), checkpoint.seq)
  await mapLimited(manifestBlobs(manifest), LOOKED_FOR_AT_ONCE, ({ sha256 }) => checkPresent(store, sha256))
  const frames = await store.read(manifest.frames.sha256)
  const root = snapshotRoot(fromHex(checkpoint.state), frames, nodeCrypto.sha256)
  if (hex(root) !== snapshot.root || manifest.frames.sha256 !== snapshot.frames) throw notTheSnapshot(checkpoint.seq)
  return manifest
}

/**
 * How many of these the store has whole, and how many bytes they take; what several of them share counts once.
 *
 * @throws RunnerError `BLOB_CORRUPT` for a manifest.
 */
export async function snapshotBytes(
  snapshots: readonly Snapshot[],
  store: BlobStore,
): Promise<Pick<RunResult, 'keptSnapshots' | 'snapshotBytes'>> {
  const found = new Map<string, KeptBlob | undefined>()
  let keptSnapshots = 0
  for (const { manifest } of snapshots) {
    const named = await blobsOfManifest(manifest, store)
    if (named === undefined) continue
    const digests = [manifest, ...named]
    for (const digest of digests) if (!found.has(digest)) found.set(digest, await store.find(digest))
    if (digests.every((digest) => found.get(digest) !== undefined)) keptSnapshots += 1
  }
  const blobs = [...found.values()].filter((blob) => blob !== undefined)
  const plain = blobs.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0)
  const stored = blobs.reduce((sum, { storedBytes }) => sum + storedBytes, 0)
  return { keptSnapshots, snapshotBytes: { plain, stored } }
}

/** @throws RunnerError `BLOB_MISSING`, `BLOB_CORRUPT`. */
export async function checkBlob(store: BlobStore, sha256: string): Promise<void> {
  for await (const _ of store.stream(sha256));
}

async function checkPresent(store: BlobStore, sha256: string): Promise<void> {
  // Reading what is missing, or does not even say how long it is, tells what to do.
  if ((await store.find(sha256)) === undefined) await checkBlob(store, sha256)
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
