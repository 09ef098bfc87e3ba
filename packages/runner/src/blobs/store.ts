/**
 * The content-addressed store: `$REPRISE_HOME/blobs/sha256/<2 hex>/<62 hex>`, each file read-only and named by the
 * SHA-256 of its bytes; with `.zst` after it, by that of what it holds compressed.
 *
 * What comes from memory (snapshots, outputs) is compressed where that pays. What comes from a file is copied as it is:
 * the kernel may share its blocks with the original, and a run does not begin later for it. Whoever reads finds both.
 *
 * What a process asked for or put stays as long as that lives, see pins.ts. A blob appears under its name only when it is whole and synced, so a kill leaves at worst a temporary file, which
 * the next day's first opening removes. What comes out is checked against its name.
 */
import { createHash, hash } from 'node:crypto'
import { readdirSync, readFileSync, statSync, type Stats } from 'node:fs'
import { mkdir, readFile, rename, rm, stat } from 'node:fs/promises'
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
import { COMPRESSED, compressed, contentBytesOf, corrupt, readCompressed, streamCompressed } from './compressed.ts'
import { openPins, type Pins, type PinTag } from './pins.ts'

/** Up to here a file is read once and written from memory; beyond, it is hashed and copied in the kernel. */
const SMALL_BYTES = 1 << 20
const AT_ONCE_BYTES_MAX = 1 << 16
/** Syncs in flight: on ext4, 5,000 new files take 0.5 s with 16 and 1.4 s one by one. */
const WRITES_AT_ONCE = 16
const MODE = 0o400
const ABANDONED_AFTER_MS = 24 * 3600 * 1000

/** Bytes, or the path of a file whose bytes are meant. */
export type BlobSource = Uint8Array | string

/** A blob as it is kept. */
export interface KeptBlob {
  readonly path: string
  readonly lengthBytes: number
  /** What its file takes on the disk. */
  readonly storedBytes: number
}

export interface BlobStore {
  /** Much will be asked for or put: begins what that waits for first, a lock of tens of milliseconds. */
  readonly begin: () => void
  /** Whether it is there; then it stays as long as this process lives. */
  readonly has: (sha256: string) => Promise<boolean>
  readonly putBytes: (bytes: Uint8Array) => Promise<BlobRef>
  readonly putFile: (path: string) => Promise<BlobRef>
  /** Stores many at once, much faster than one by one; all of them survive a power failure when it returns. */
  readonly putAll: (sources: readonly BlobSource[]) => Promise<BlobRef[]>
  /** @throws RunnerError `BLOB_MISSING` or `BLOB_CORRUPT`. */
  readonly read: (sha256: string) => Promise<Uint8Array>
  /** In pieces that are valid until the next one; a wrong digest shows at the end. Throws as `read` does. */
  readonly stream: (sha256: string) => AsyncGenerator<Uint8Array>
  /** How it is kept; undefined when it is not there. */
  readonly find: (sha256: string) => Promise<KeptBlob | undefined>
  /** Where the blob is or would be when it is plain: for `readBlobSync`. */
  readonly path: (sha256: string) => string
  /** The same store, for what belongs to a snapshot of this process's run at that position, see pins.ts. */
  readonly at: (position: bigint) => BlobStore
}

/**
 * Opens the store below the home, which is created when need be.
 *
 * @param now - Milliseconds since 1970, to tell abandoned temporary files.
 */
export async function openBlobStore(home: string, now: number = Date.now()): Promise<BlobStore> {
  const folders = createHome(home)
  await removeAbandoned(folders.blobs, now)
  return storeAt({ root: folders.blobs, pins: openPins(folders), oneAtATime: createQueue() }, undefined)
}

interface StoreParts {
  readonly root: string
  readonly pins: Pins
  /** Compressing must not take all cores from the machine that is at work beside it. */
  readonly oneAtATime: <T>(work: () => Promise<T>) => Promise<T>
}

function createQueue(): StoreParts['oneAtATime'] {
  let last: Promise<unknown> = Promise.resolve()
  return async (work) => {
    const done = last.then(work)
    last = done.catch(() => {})
    return await done
  }
}

function storeAt(parts: StoreParts, tag: PinTag): BlobStore {
  const { root, pins } = parts
  const pathOf = (sha256: string): string => {
    assert(/^[0-9a-f]{64}$/.test(sha256), 'a blob is named by a SHA-256 in lower-case hex')
    return join(root, sha256.slice(0, 2), sha256.slice(2))
  }
  const pinned = async (sha256: string): Promise<KeptBlob | undefined> => {
    await pins.pin([sha256], tag)
    return await find(pathOf(sha256))
  }
  const put = createPut({ ...parts, pathOf, pinned })
  const putAll = async (sources: readonly BlobSource[]): Promise<BlobRef[]> => {
    const refs = await mapLimited(sources, WRITES_AT_ONCE, put)
    // Also the folders of blobs that were there: another process may have put them a moment ago and not be done.
    const touched = [...new Set(refs.map(({ sha256 }) => dirname(pathOf(sha256))))]
    await mapLimited(touched, WRITES_AT_ONCE, syncFolder)
    return refs
  }
  return {
    begin: () => pins.begin(),
    has: async (sha256) => (await pinned(sha256)) !== undefined,
    putBytes: async (bytes) => (await putAll([bytes]))[0],
    putFile: async (path) => (await putAll([path]))[0],
    putAll,
    read: (sha256) => read(pathOf(sha256), sha256),
    stream: (sha256) => streamBlob(pathOf(sha256), sha256),
    find: (sha256) => find(pathOf(sha256)),
    path: pathOf,
    at: (position) => storeAt(parts, position),
  }
}

/** Writes one blob unless it is there; its folder is not synced yet. */
function createPut({
  root,
  oneAtATime,
  pathOf,
  pinned,
}: Pick<StoreParts, 'root' | 'oneAtATime'> & {
  readonly pathOf: (sha256: string) => string
  readonly pinned: (sha256: string) => Promise<KeptBlob | undefined>
}): (source: BlobSource) => Promise<BlobRef> {
  /** Gives a finished temporary file its name; two writers of one digest bring the same bytes, so either may win. */
  const keep = async (temporary: string, path: string): Promise<void> => {
    try {
      await rename(temporary, path)
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw error
      await mkdir(dirname(path), { mode: 0o700, recursive: true })
      await syncFolder(root)
      await rename(temporary, path)
    }
  }

  const writeBytes = async (bytes: Uint8Array, temporary: string, path: string): Promise<void> => {
    const isSmaller = await oneAtATime(async () => {
      const smaller = await compressed(bytes)
      if (smaller !== undefined) await writeSynced(temporary, smaller, MODE)
      return smaller !== undefined
    })
    if (isSmaller) return await keep(temporary, path + COMPRESSED)
    await writeSynced(temporary, bytes, MODE)
    await keep(temporary, path)
  }

  return async (source) => {
    const content = typeof source === 'string' ? await readSource(source) : source
    const ref = content instanceof Uint8Array ? refOf(content) : content
    if ((await pinned(ref.sha256))?.lengthBytes === ref.lengthBytes) return ref
    const temporary = temporaryName(root)
    try {
      if (typeof source !== 'string') {
        await writeBytes(source, temporary, pathOf(ref.sha256))
      } else if (content instanceof Uint8Array) {
        await writeSynced(temporary, content, MODE)
        await keep(temporary, pathOf(ref.sha256))
      } else {
        const copied = await copyWithDigest({ source, target: temporary, mode: MODE })
        // The file may have changed since its digest was taken.
        await pinned(copied.sha256)
        await keep(temporary, pathOf(copied.sha256))
        return copied
      }
      return ref
    } catch (error) {
      await rm(temporary, { force: true })
      throw writeFailure(error, root, typeof source === 'string' ? source : `${ref.lengthBytes} bytes`)
    }
  }
}

/** A plain blob that is small, read at once: each way to another thread and back takes longer than its bytes do. Undefined for others. */
function readSmall(plain: string, sha256: string): Uint8Array | undefined {
  try {
    const found = statSync(plain, { throwIfNoEntry: false })
    return found !== undefined && found.size <= AT_ONCE_BYTES_MAX ? readFileSync(plain) : undefined
  } catch (error) {
    throw missingOr(error, plain, sha256)
  }
}

async function read(plain: string, sha256: string): Promise<Uint8Array> {
  const { path, isCompressed } = await located(plain, sha256)
  const bytes = await (isCompressed ? readCompressed(path, sha256) : readFile(path)).catch((error: unknown) => {
    throw missingOr(error, path, sha256)
  })
  if (hash('sha256', bytes) !== sha256) throw corrupt(path, sha256)
  return bytes
}

/**
 * A blob in pieces that are valid until the next one.
 *
 * @param plain - Where it is when it is plain.
 * @param options.trusted - It is not checked by its digest: whoever reads it checks what comes of it.
 * @throws RunnerError `BLOB_MISSING`, `BLOB_CORRUPT`; a wrong digest shows at the end.
 */
export async function* streamBlob(
  plain: string,
  sha256: string,
  { trusted } = { trusted: false },
): AsyncGenerator<Uint8Array> {
  const small = readSmall(plain, sha256)
  if (small !== undefined) {
    if (!trusted && hash('sha256', small) !== sha256) throw corrupt(plain, sha256)
    yield small
    return
  }
  const { path, isCompressed } = await located(plain, sha256)
  const digest = createHash('sha256')
  try {
    for await (const chunk of isCompressed ? streamCompressed(path, sha256) : readChunks(path)) {
      if (!trusted) digest.update(chunk)
      yield chunk
    }
  } catch (error) {
    throw missingOr(error, path, sha256)
  }
  if (!trusted && digest.digest('hex') !== sha256) throw corrupt(path, sha256)
}

/** A blob of which `path` is the plain name; one whose file does not say how long its content is counts as not there. */
async function find(path: string): Promise<KeptBlob | undefined> {
  const plain = await statOf(path)
  if (plain !== undefined) return { path, lengthBytes: plain.size, storedBytes: onDiskBytes(plain) }
  const small = await statOf(path + COMPRESSED)
  if (small === undefined) return undefined
  try {
    const lengthBytes = await contentBytesOf(path + COMPRESSED)
    return lengthBytes === undefined
      ? undefined
      : { path: path + COMPRESSED, lengthBytes, storedBytes: onDiskBytes(small) }
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw readFailure(error, path + COMPRESSED)
  }
}

async function located(
  path: string,
  sha256: string,
): Promise<{ readonly path: string; readonly isCompressed: boolean }> {
  if ((await statOf(path)) !== undefined) return { path, isCompressed: false }
  const small = path + COMPRESSED
  if ((await statOf(small)) !== undefined) return { path: small, isCompressed: true }
  throw missing(path, sha256)
}

const BLOCK_BYTES = 512

/** Of a file; what a file system compresses or shares by itself is its own matter. */
export function onDiskBytes({ blocks }: Pick<Stats, 'blocks'>): number {
  return blocks * BLOCK_BYTES
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

async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw readFailure(error, path)
  }
}

async function removeAbandoned(root: string, now: number): Promise<void> {
  for (const name of readdirSync(root)) {
    if (!isTemporaryName(name)) continue
    const path = join(root, name)
    const found = await stat(path).catch(() => undefined)
    if (found && now - found.mtimeMs > ABANDONED_AFTER_MS) await rm(path, { force: true })
  }
}

function missingOr(error: unknown, path: string, sha256: string): unknown {
  if (error instanceof RunnerError || systemCode(error) === undefined) return error
  return systemCode(error) === 'ENOENT' ? missing(path, sha256, error) : readFailure(error, path)
}

function missing(path: string, sha256: string, cause?: unknown): RunnerError {
  return new RunnerError('BLOB_MISSING', {
    message: `no blob ${sha256} in the store`,
    hint: 'run the command that made it once more, or copy the blob to REPRISE_HOME from where the run was made',
    data: { path, sha256 },
    ...(cause !== undefined && { cause }),
  })
}
