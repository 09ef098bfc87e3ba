/** What a machine's threads read of a computation: blobs by digest, and the contents of mounts. */
import { gunzipSync } from 'node:zlib'
import type { ComputationMount, MountSource } from '@reprise/core'
import { readTar, type WasiFile, type WasiMount } from '@reprise/wasm'
import { readBlobSync } from '../blobs/index.ts'

/** An archive may unpack to this much. */
const ARCHIVE_BYTES_MAX = 1 << 30

export type ReadBlob = (sha256: string) => Uint8Array

/** @param blobs - Paths by SHA-256, already checked. */
export function blobReader(blobs: Readonly<Record<string, string>>): ReadBlob {
  return (sha256) => {
    const path = blobs[sha256]
    if (path === undefined) throw new Error(`blob ${sha256} was not handed to the engine`)
    return readBlobSync(path, sha256)
  }
}

/** @param sources - What the mounts hold, in their order: their own contents, or those of a warm-up. */
export function wasiMounts(
  mounts: readonly ComputationMount[],
  sources: readonly MountSource[],
  readBlob: ReadBlob,
): WasiMount[] {
  return mounts.map(({ at, writable, output }, i) => ({ at, writable, output, files: filesOf(sources[i], readBlob) }))
}

function filesOf(source: MountSource, readBlob: ReadBlob): readonly WasiFile[] {
  return source.kind === 'files'
    ? source.files.map(({ path, sha256, readOnly }) => ({ path, bytes: readBlob(sha256), readOnly }))
    : readTar(gunzipSync(readBlob(source.blob.sha256), { maxOutputLength: ARCHIVE_BYTES_MAX }))
}
