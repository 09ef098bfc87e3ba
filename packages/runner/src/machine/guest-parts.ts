/** What an engine thread makes a guest of: the computation's host, and the snapshot it begins with, out of blobs. */
import { hex, PAGE_BYTES, type Computation, type SnapshotManifest } from '@reprise/core'
import { decodeFrames, type SavedHost, type SavedMemory, type Snapshot, type WasiOptions } from '@reprise/wasm'
import { wasiMounts, type MountBlobs, type ReadBlob } from './inputs.ts'
import { unpackMemory } from './packs.ts'
import type { BeginRequest } from './protocol.ts'

export type GivenOptions = Pick<
  WasiOptions,
  'arguments' | 'environment' | 'stdin' | 'mounts' | 'clockStartNs' | 'seed' | 'start'
>

/** What the computation says of its host. */
export function givenOptions(computation: Computation, blobs: MountBlobs): GivenOptions {
  return {
    arguments: computation.arguments,
    environment: Object.entries(computation.environment),
    stdin: blobs.readBlob(computation.stdin.sha256),
    mounts: wasiMounts(
      computation.mounts,
      computation.mounts.map(({ source }) => source),
      blobs,
    ),
    clockStartNs: BigInt(computation.clock),
    seed: BigInt(computation.seed),
    ...(computation.start !== undefined && { start: { kind: 'warm' } }),
  }
}

/** The host's blob of a manifest: how many contents, their digests in the host's order, then its own bytes. */
export function savedHost({ host }: SnapshotManifest, readBlob: ReadBlob): SavedHost {
  const bytes = readBlob(host.sha256)
  const count = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
  const end = 4 + 32 * count
  const digests = Array.from({ length: count }, (_, i) => hex(bytes.subarray(4 + 32 * i, 36 + 32 * i)))
  return { bytes: bytes.subarray(end), contents: digests.map(readBlob) }
}

/** A memory of which these pages alone may hold something: [first, count]. */
export function sparseMemory(memory: Uint8Array, pages: BeginRequest['pages']): SavedMemory {
  return {
    lengthBytes: memory.length,
    copyTo(to) {
      for (const [first, count] of pages) {
        const start = first * PAGE_BYTES
        to.set(memory.subarray(start, start + count * PAGE_BYTES), start)
      }
    },
  }
}

export function snapshotOf(manifest: SnapshotManifest, readBlob: ReadBlob): Snapshot {
  return {
    activations: decodeFrames(readBlob(manifest.frames.sha256)),
    memory: unpackMemory(manifest, (pack) => readBlob(manifest.packs[pack].sha256)),
    globals: manifest.globals.map(({ type, bits }) => ({ type, bits: BigInt(`0x${bits}`) })),
    position: BigInt(manifest.position),
  }
}
