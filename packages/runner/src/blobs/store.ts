/**
 * The content-addressed store: `$REPRISE_HOME/blobs/sha256/<2 hex>/<62 hex>`, each file read-only and named by the
 * SHA-256 of its bytes.
 *
 * A blob appears under its name only when it is whole and synced, so a kill leaves at worst a temporary file, which
 * the next day's first opening removes. What comes out is checked against its name.
 */
import { createHash, hash } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { assert, type BlobRef } from '@reprise/core'
import {
  copyWithDigest,
  digestFile,
  isTemporaryName,
  readChunks,
  syncFolder,
  temporaryName,
  writeSynced,
} from '../durable.ts'
import { readFailure, RunnerError, systemCode, writeFailure } from '../error.ts'
import { createHome } from '../home.ts'
import { mapLimited } from '../parallel.ts'

/** Up to here a file is read once and written from memory; beyond, it is hashed and copied in the kernel. */
const SMALL_BYTES = 1 << 20
/** Syncs in flight: on ext4, 5,000 new files take 0.5 s with 16 and 1.4 s one by one. */
const WRITES_AT_ONCE = 16
const MODE = 0o400
const ABANDONED_AFTER_MS = 24 * 3600 * 1000

/** Bytes, or the path of a file whose bytes are meant. */
export type BlobSource = Uint8Array | string

export interface BlobStore {
  readonly has: (sha256: string) => Promise<boolean>
  readonly putBytes: (bytes: Uint8Array) => Promise<BlobRef>
  readonly putFile: (path: string) => Promise<BlobRef>
  /** Stores many at once, much faster than one by one; all of them survive a power failure when it returns. */
  readonly putAll: (sources: readonly BlobSource[]) => Promise<BlobRef[]>
  /** @throws RunnerError `BLOB_MISSING` or `BLOB_CORRUPT`. */
  readonly read: (sha256: string) => Promise<Uint8Array>
  /** In pieces that are valid until the next one; a wrong digest shows at the end. Throws as `read` does. */
  readonly stream: (sha256: string) => AsyncGenerator<Uint8Array>
  /** Where the blob is or would be. */
  readonly path: (sha256: string) => string
}

/**
 * Opens the store below the home, which is created when need be.
 *
 * @param now - Milliseconds since 1970, to tell abandoned temporary files.
 */
export async function openBlobStore(home: string, now: number = Date.now()): Promise<BlobStore> {
  const root = (await createHome(home)).blobs
  await removeAbandoned(root, now)

  const pathOf = (sha256: string): string => {
    assert(/^[0-9a-f]{64}$/.test(sha256), 'a blob is named by a SHA-256 in lower-case hex')
    return join(root, sha256.slice(0, 2), sha256.slice(2))
  }
  const holds = async ({ sha256, lengthBytes }: BlobRef): Promise<boolean> =>
    (await sizeOf(pathOf(sha256))) === lengthBytes

  /** Gives a finished temporary file its name; two writers of one digest bring the same bytes, so either may win. */
  const keep = async (temporary: string, { sha256 }: BlobRef): Promise<void> => {
    const path = pathOf(sha256)
    try {
      await rename(temporary, path)
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw error
      await mkdir(dirname(path), { mode: 0o700, recursive: true })
      await syncFolder(root)
      await rename(temporary, path)
    }
  }

  const put = async (source: BlobSource): Promise<BlobRef> => {
    const content = typeof source === 'string' ? await readSource(source) : source
    const ref = content instanceof Uint8Array ? refOf(content) : content
    if (await holds(ref)) return ref
    const temporary = temporaryName(root)
    try {
      if (content instanceof Uint8Array) {
        await writeSynced(temporary, content, MODE)
        await keep(temporary, ref)
        return ref
      }
      const copied = await copyWithDigest({ source: source as string, target: temporary, mode: MODE })
      await keep(temporary, copied)
      return copied
    } catch (error) {
      await rm(temporary, { force: true })
      throw writeFailure(error, root, typeof source === 'string' ? source : `${ref.lengthBytes} bytes`)
    }
  }

  const putAll = async (sources: readonly BlobSource[]): Promise<BlobRef[]> => {
    const refs = await mapLimited(sources, WRITES_AT_ONCE, put)
    // Also the folders of blobs that were there: another process may have put them a moment ago and not be done.
    const folders = [...new Set(refs.map(({ sha256 }) => dirname(pathOf(sha256))))]
    await mapLimited(folders, WRITES_AT_ONCE, syncFolder)
    return refs
  }

  return {
    has: async (sha256) => (await sizeOf(pathOf(sha256))) !== undefined,
    putBytes: async (bytes) => (await putAll([bytes]))[0],
    putFile: async (path) => (await putAll([path]))[0],
    putAll,
    async read(sha256) {
      const path = pathOf(sha256)
      let bytes: Uint8Array
      try {
        bytes = await readFile(path)
      } catch (error) {
        throw missingOr(error, path, sha256)
      }
      if (hash('sha256', bytes) !== sha256) throw corrupt(path, sha256)
      return bytes
    },
    async *stream(sha256) {
      const path = pathOf(sha256)
      const digest = createHash('sha256')
      try {
        for await (const chunk of readChunks(path)) {
          digest.update(chunk)
          yield chunk
        }
      } catch (error) {
        throw missingOr(error, path, sha256)
      }
      if (digest.digest('hex') !== sha256) throw corrupt(path, sha256)
    },
    path: pathOf,
  }
}

/** A small file's bytes; of a large one only digest and length. */
async function readSource(path: string): Promise<Uint8Array | BlobRef> {
  try {
    const { size } = await stat(path)
    return size <= SMALL_BYTES ? await readFile(path) : await digestFile(path)
  } catch (error) {
    throw readFailure(error, path)
  }
}

export function refOf(bytes: Uint8Array): BlobRef {
  return { lengthBytes: bytes.length, sha256: hash('sha256', bytes) }
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw readFailure(error, path)
  }
}

async function removeAbandoned(root: string, now: number): Promise<void> {
  for (const name of await readdir(root)) {
    if (!isTemporaryName(name)) continue
    const path = join(root, name)
    const found = await stat(path).catch(() => undefined)
    if (found && now - found.mtimeMs > ABANDONED_AFTER_MS) await rm(path, { force: true })
  }
}

function missingOr(error: unknown, path: string, sha256: string): unknown {
  if (error instanceof RunnerError || systemCode(error) === undefined) return error
  if (systemCode(error) !== 'ENOENT') return readFailure(error, path)
  return new RunnerError('BLOB_MISSING', {
    message: `no blob ${sha256} in the store`,
    hint: 'run the command that made it once more, or copy the blob to REPRISE_HOME from where the run was made',
    data: { path, sha256 },
    cause: error,
  })
}

function corrupt(path: string, sha256: string): RunnerError {
  return new RunnerError('BLOB_CORRUPT', {
    message: `${path} does not hold the bytes that its name says: the disk or somebody changed it`,
    hint: `delete that file and run again; files that are still there are stored anew`,
    data: { path, sha256 },
  })
}
