/** Snapshots for sample records. What they hold does not matter to a record, as long as it has the right shape. */
import { encodeManifest, fromHex, hex, snapshotRoot, utf8, type SnapshotManifest } from '@reprise/core'
import { nodeCrypto } from './node-crypto.ts'
import { blobRef, type Draft, type Mutable } from './sample.ts'

const PAGE_BYTES = 4096

/** Pages that all snapshots share. */
export const SHARED_PACK = new Uint8Array(2 * PAGE_BYTES).fill(0x11)
const HOST = utf8('what the WASI host is restored from')
const CONTENT = utf8('half a file\n')
export const END_FRAMES = utf8('no frames')

export interface SampleSnapshot {
  readonly manifest: Mutable<SnapshotManifest>
  readonly frames: Uint8Array
  /** What the manifest names. */
  readonly blobs: readonly Uint8Array[]
}

function sampleSnapshot({ checkpoints }: Draft, seq: number): SampleSnapshot {
  const { kind, position } = checkpoints[seq]
  const frames = kind === 3 ? END_FRAMES : utf8(`frames at ${position}`)
  const own = new Uint8Array(PAGE_BYTES).fill(seq)
  const manifest: Mutable<SnapshotManifest> = {
    schema: 'reprise/snapshot/v1',
    contents: [blobRef(CONTENT)],
    frames: blobRef(frames),
    globals: [
      { bits: '00010000', type: 'i32' },
      { bits: '7ff8000000000000', type: 'f64' },
    ],
    host: blobRef(HOST),
    memoryBytes: 131072,
    packs: [blobRef(SHARED_PACK), blobRef(own)],
    pages: [
      [0, 1, 0, 1],
      [1, 1, 1, 0],
      [16, 1, 0, 0],
    ],
    phase: kind === 3 ? 'ended' : 'main',
    position,
  }
  return { manifest, frames, blobs: [CONTENT, frames, HOST, SHARED_PACK, own] }
}

/** Takes a snapshot at a checkpoint and attaches it; `change` lies in the manifest before it is measured and signed. */
export function takeSnapshot(
  draft: Draft,
  seq: number,
  change: (manifest: Mutable<SnapshotManifest>) => void = () => undefined,
): SampleSnapshot {
  const taken = sampleSnapshot(draft, seq)
  change(taken.manifest)
  const manifest = encodeManifest(taken.manifest)
  const root = snapshotRoot(fromHex(draft.checkpoints[seq].state), taken.frames, nodeCrypto.sha256)
  draft.snapshots.push({
    frames: taken.manifest.frames.sha256,
    manifest: blobRef(manifest).sha256,
    root: hex(root),
    seq,
  })
  for (const bytes of [manifest, ...taken.blobs])
    if (!draft.contents.some((known) => Buffer.compare(known, bytes) === 0)) draft.contents.push(bytes)
  return taken
}
