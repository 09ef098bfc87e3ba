/**
 * The audit log of one host as its agent writes it: lines that hang on each other, each on disk before it counts. After a
 * crash in the middle of a line the line is dropped: nobody was told of it. Format: spec/operators.md §6.
 */
import { type FileHandle, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { equal, hex } from '@reprise/core'
import { RecoveryError } from '../error.ts'
import {
  type AuditClock,
  type AuditEntry,
  type AuditEvent,
  type AuditPlace,
  type AuditScope,
  auditStart,
  decodeEntry,
  encodeEntry,
  ENTRY_BYTES_MAX,
  entryDigest,
} from './entry.ts'

const NEWLINE = 10
const CHUNK_BYTES = 1 << 20

export interface AuditLog extends AsyncDisposable {
  /** After the last entry that is on disk. */
  readonly place: AuditPlace
  /** Bytes of an unfinished line that were dropped when the log was opened. */
  readonly droppedBytes: number
  /**
   * Adds an entry; entries come one after the other, however many are added at a time.
   *
   * @param tpm - The TPM's clock and counts, when they are known.
   * @returns The place after it, once it is on disk.
   * @throws {@link RecoveryError} `AUDIT` when it cannot be written; the log then stands as before, and the next one may succeed.
   */
  readonly append: (event: AuditEvent, tpm?: AuditClock) => Promise<AuditPlace>
}

/**
 * Opens the log of a host, or begins one. Only one process writes it.
 *
 * @param options.nowMs - Wall clock, milliseconds since 1970.
 * @throws {@link RecoveryError} `AUDIT` when it is damaged before its last line, or another host's.
 */
export async function openAuditLog(
  path: string,
  scope: AuditScope,
  { nowMs }: { readonly nowMs: () => number },
): Promise<AuditLog> {
  const file = await openFile(path)
  try {
    const found = await readPlace(file, path, scope)
    if (found.droppedBytes > 0) {
      await file.truncate(found.lengthBytes)
      await file.datasync()
    }
    const log = logOf({ file, path, nowMs }, found)
    if (log.place.length === 0) await log.append({ kind: 'begun', ...scope })
    return log
  } catch (error) {
    await file.close()
    throw error
  }
}

async function openFile(path: string): Promise<FileHandle> {
  const existing = await open(path, 'r+').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (existing !== undefined) return existing
  const made = await open(path, 'wx+', 0o600)
  await made.sync()
  await using folder = await open(dirname(path), 'r')
  await folder.sync()
  return made
}

interface Found {
  readonly place: AuditPlace
  readonly lengthBytes: number
  readonly droppedBytes: number
}

interface Writing {
  readonly file: FileHandle
  readonly path: string
  readonly nowMs: () => number
}

function logOf({ file, path, nowMs }: Writing, found: Found): AuditLog {
  let { place, lengthBytes } = found
  let turn: Promise<unknown> = Promise.resolve()
  const write = async (event: AuditEvent, tpm: AuditClock | undefined): Promise<AuditPlace> => {
    if ((event.kind === 'begun') !== (place.length === 0)) throw new TypeError('a log begins once')
    const entry: AuditEntry = { seq: place.length, previous: place.head, wallMs: nowMs(), tpm: tpm ?? null, event }
    const line = encodeEntry(entry)
    // What cannot be read back is not written: whoever gave it finds out, and not the audit.
    decodeEntry(line)
    const bytes = Buffer.concat([line, Uint8Array.of(NEWLINE)])
    try {
      await writeWhole(file, bytes, lengthBytes)
      await file.datasync()
    } catch (cause) {
      await file.truncate(lengthBytes).catch(() => undefined)
      throw new RecoveryError('AUDIT', {
        message: `${path}: entry ${entry.seq} cannot be written (${(cause as Error).message})`,
        hint: 'make room on the disk; what is already there is whole',
        cause,
      })
    }
    lengthBytes += bytes.length
    place = { length: place.length + 1, head: entryDigest(line) }
    return place
  }
  return {
    get place() {
      return place
    },
    droppedBytes: found.droppedBytes,
    append(event, tpm) {
      const written = turn.then(() => write(event, tpm))
      turn = written.catch(() => undefined)
      return written
    },
    async [Symbol.asyncDispose]() {
      await turn
      await file.close()
    },
  }
}

async function writeWhole(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, at, bytes.length - at, position + at)
    at += bytesWritten
  }
}

/** Reads a log from its beginning up to its last whole line. */
async function readPlace(file: FileHandle, path: string, scope: AuditScope): Promise<Found> {
  let place: AuditPlace = { length: 0, head: auditStart(scope) }
  let lengthBytes = 0
  const { size } = await file.stat()
  for await (const line of linesOf(file)) {
    const endBytes = lengthBytes + line.length + 1
    // No newline after it: the end of the file came first.
    const isWhole = endBytes <= size
    if (!isWhole || readEntry(line, place) === undefined) {
      // A crash leaves a line without its end, or with the end and not all that comes before it; and it is the last one.
      if (endBytes >= size && line.length <= ENTRY_BYTES_MAX)
        return { place, lengthBytes, droppedBytes: size - lengthBytes }
      throw damaged(path, place, scope)
    }
    place = { length: place.length + 1, head: entryDigest(line) }
    lengthBytes = endBytes
  }
  return { place, lengthBytes, droppedBytes: 0 }
}

function readEntry(line: Uint8Array, place: AuditPlace): AuditEntry | undefined {
  try {
    const entry = decodeEntry(line)
    return entry.seq === place.length && equal(entry.previous, place.head) ? entry : undefined
  } catch {
    return undefined
  }
}

function damaged(path: string, { length, head }: AuditPlace, { fleet, host }: AuditScope): RecoveryError {
  return new RecoveryError('AUDIT', {
    message: `${path}: entry ${length}, after ${hex(head)}, is damaged, or the log is not that of ${host} in ${fleet}`,
    hint: 'keep the file for an audit (reprise recovery audit), and move it away to begin another log',
    data: { path, entry: length },
  })
}

/** Lines with their newline taken off; the last one may have had none. What is longer than an entry is not read to its end. */
async function* linesOf(file: FileHandle): AsyncGenerator<Uint8Array> {
  let rest: Uint8Array = new Uint8Array()
  for (let position = 0; rest.length <= ENTRY_BYTES_MAX;) {
    const chunk = Buffer.alloc(CHUNK_BYTES)
    const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES, position)
    if (bytesRead === 0) break
    position += bytesRead
    rest = Buffer.concat([rest, chunk.subarray(0, bytesRead)])
    for (let end = rest.indexOf(NEWLINE); end >= 0; end = rest.indexOf(NEWLINE)) {
      yield rest.subarray(0, end)
      rest = rest.subarray(end + 1)
    }
  }
  if (rest.length > 0) yield rest
}
