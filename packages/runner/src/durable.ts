/**
 * Files that are either not there or whole: written to a temporary name in the same folder, synced, renamed, and the
 * folder synced, so that neither a kill nor a power failure shows half of one.
 */
import { createHash, randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { chmod, copyFile, open, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { concat, type BlobRef } from '@reprise/core'

const CHUNK_BYTES = 1 << 20
/** Of what is written from memory in pieces. */
const PIECE_BYTES_MIN = 1 << 18

/** A name for a file that is not finished: hidden, so that a folder scan never takes it for an input. */
export function temporaryName(folder: string): string {
  return join(folder, `.reprise-${randomBytes(8).toString('hex')}.tmp`)
}

export function isTemporaryName(name: string): boolean {
  return /^\.reprise-[0-9a-f]{16}\.tmp$/.test(name)
}

/** Replaces or creates `path`. Throws the system's own error; the temporary file is gone then. */
export async function writeFileAtomically(path: string, content: Uint8Array | string, mode = 0o666): Promise<void> {
  const temporary = temporaryName(dirname(path))
  try {
    await writeSynced(temporary, content, mode)
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
  await syncFolder(dirname(path))
}

/** Creates `path`, which must not exist, and syncs its content but not its folder. */
export async function writeSynced(
  path: string,
  content: Uint8Array | string | AsyncIterable<Uint8Array>,
  mode = 0o666,
): Promise<void> {
  const file = await open(path, 'wx', mode)
  try {
    await file.writeFile(
      typeof content === 'string' || content instanceof Uint8Array ? content : inLargePieces(content),
    )
    await file.sync()
  } finally {
    await file.close()
  }
}

/** A write for each small piece takes longer than its bytes do. */
async function* inLargePieces(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let gathered: Uint8Array[] = []
  let lengthBytes = 0
  for await (const piece of pieces) {
    // Who gives pieces may use their bytes again.
    gathered.push(piece.slice())
    lengthBytes += piece.length
    if (lengthBytes < PIECE_BYTES_MIN) continue
    yield concat(...gathered)
    gathered = []
    lengthBytes = 0
  }
  if (lengthBytes > 0) yield concat(...gathered)
}

export async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Makes renames in a folder survive a power failure. */
export const syncFolder = syncFile

/**
 * Copies a file to a name that must not exist, sharing its blocks where the file system can, and syncs the copy.
 *
 * @returns Digest and length of the *copy*: the source may change meanwhile, what was stored is what counts.
 */
export async function copyWithDigest(paths: {
  readonly source: string
  readonly target: string
  readonly mode: number
}): Promise<BlobRef> {
  await copyFile(paths.source, paths.target, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE)
  await chmod(paths.target, paths.mode)
  await syncFile(paths.target)
  return digestFile(paths.target)
}

export async function digestFile(path: string): Promise<BlobRef> {
  const digest = createHash('sha256')
  let lengthBytes = 0
  for await (const chunk of readChunks(path)) {
    digest.update(chunk)
    lengthBytes += chunk.length
  }
  return { lengthBytes, sha256: digest.digest('hex') }
}

/** The bytes of a file in pieces of at most 1 MiB. A piece is valid until the next one is asked for. */
export async function* readChunks(path: string): AsyncGenerator<Uint8Array> {
  const file = await open(path, 'r')
  try {
    const buffer = new Uint8Array(CHUNK_BYTES)
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, CHUNK_BYTES, null)
      if (bytesRead === 0) return
      yield buffer.subarray(0, bytesRead)
    }
  } finally {
    await file.close()
  }
}
