/** What a machine's threads read of a computation: blobs by digest, and the contents of mounts. */
import type { ComputationMount, MountSource, Sha256 } from '@reprise/core'
import type { WasiFile, WasiMount } from '@reprise/wasm'
import { readBlobSync } from '../blobs/index.ts'
import { libraryFiles } from './library.ts'

export type ReadBlob = (sha256: string) => Uint8Array

/**
 * @param blobs - Paths by SHA-256.
 * @param options.trusted - They are checked already.
 */
export function blobReader(blobs: Readonly<Record<string, string>>, options = { trusted: true }): ReadBlob {
  return (sha256) => {
    const path = blobs[sha256]
    if (path === undefined) throw new Error(`blob ${sha256} was not handed to the engine`)
    return readBlobSync(path, sha256, options)
  }
}

/** What a machine's mounts are made of. */
export interface MountBlobs {
  readonly readBlob: ReadBlob
  /** Where libraries are kept unpacked: unpacking takes as long as starting CPython warm. */
  readonly cacheFolder: string
  readonly sha256: Sha256
}

/** @param sources - What the mounts hold, in their order: their own contents, or those of a warm-up. */
export function wasiMounts(
  mounts: readonly ComputationMount[],
  sources: readonly MountSource[],
  blobs: MountBlobs,
): WasiMount[] {
  return mounts.map(({ at, writable, output }, i) => ({ at, writable, output, files: filesOf(sources[i], blobs) }))
}

function filesOf(source: MountSource, blobs: MountBlobs): readonly WasiFile[] {
  return source.kind === 'files'
    ? source.files.map(({ path, sha256, readOnly }) => ({ path, bytes: blobs.readBlob(sha256), readOnly }))
    : libraryFiles(source.blob.sha256, {
        archive: () => blobs.readBlob(source.blob.sha256),
        folder: blobs.cacheFolder,
        sha256: blobs.sha256,
      })
}
