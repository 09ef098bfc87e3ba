/** What an engine thread makes a guest of: the computation's host, and the snapshot it begins with, out of blobs. */
import { gunzipSync } from 'node:zlib'
import { hex, type Computation, type ComputationMount, type SnapshotManifest } from '@reprise/core'
import { decodeFrames, readTar, type SavedHost, type Snapshot, type WasiMount, type WasiOptions } from '@reprise/wasm'
import { unpackMemory } from './packs.ts'

/** By SHA-256, already checked. */
export type ReadBlob = (sha256: string) => Uint8Array

/** An archive may unpack to this much. */
const ARCHIVE_BYTES_MAX = 1 << 30

export type GivenOptions = Pick<WasiOptions, 'arguments' | 'environment' | 'stdin' | 'mounts' | 'clockStartNs' | 'seed'>

/** What the computation says of its host. */
export function givenOptions(computation: Computation, readBlob: ReadBlob): GivenOptions {
  return {
    arguments: computation.arguments,
    environment: Object.entries(computation.environment),
    stdin: readBlob(computation.stdin.sha256),
    mounts: computation.mounts.map((mount) => mountOf(mount, readBlob)),
    clockStartNs: BigInt(computation.clock),
    seed: BigInt(computation.seed),
  }
}

function mountOf(mount: ComputationMount, readBlob: ReadBlob): WasiMount {
  const { source } = mount
  const files =
    source.kind === 'files'
      ? source.files.map(({ path, sha256, readOnly }) => ({ path, bytes: readBlob(sha256), readOnly }))
      : readTar(gunzipSync(readBlob(source.blob.sha256), { maxOutputLength: ARCHIVE_BYTES_MAX }))
  return { at: mount.at, writable: mount.writable, output: mount.output, files }
}

/** The host's blob of a manifest: how many contents, their digests in the host's order, then its own bytes. */
export function savedHost({ host }: SnapshotManifest, readBlob: ReadBlob): SavedHost {
  const bytes = readBlob(host.sha256)
  const count = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
  const end = 4 + 32 * count
  const digests = Array.from({ length: count }, (_, i) => hex(bytes.subarray(4 + 32 * i, 36 + 32 * i)))
  return { bytes: bytes.subarray(end), contents: digests.map(readBlob) }
}

export function snapshotOf(manifest: SnapshotManifest, readBlob: ReadBlob): Snapshot {
  return {
    activations: decodeFrames(readBlob(manifest.frames.sha256)),
    memory: unpackMemory(manifest, (pack) => readBlob(manifest.packs[pack].sha256)),
    globals: manifest.globals.map(({ type, bits }) => ({ type, bits: BigInt(`0x${bits}`) })),
    position: BigInt(manifest.position),
  }
}
