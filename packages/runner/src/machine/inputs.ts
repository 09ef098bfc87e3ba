/** What a machine's threads read of a computation: blobs by digest, and the contents of mounts. */
import { join } from 'node:path'
import type { ComputationMount, MountSource, Sha256 } from '@reprise/core'
import { readTar, type WasiFile, type WasiMount } from '@reprise/wasm'
import { readBlobSync } from '../blobs/index.ts'
import { readKept, writeKept } from './kept-file.ts'

/** An archive may unpack to this much. */
const ARCHIVE_BYTES_MAX = 1 << 30

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
  /** Where unpacked archives are kept: unpacking takes as long as starting CPython warm. */
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
    : readTar(unpacked(source.blob.sha256, blobs))
}

function unpacked(archive: string, { readBlob, cacheFolder, sha256 }: MountBlobs): Uint8Array {
  const path = join(cacheFolder, `${archive}.tar`)
  const kept = readKept(path, sha256)
  if (kept !== undefined) return kept
  const { gunzipSync } = process.getBuiltinModule('node:zlib')
  const tar = gunzipSync(readBlob(archive), { maxOutputLength: ARCHIVE_BYTES_MAX })
  writeKept(path, tar, { sha256, what: 'an unpacked library' })
  return tar
}
