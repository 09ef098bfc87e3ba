/**
 * The journal of a run: everything that its record will carry, on disk while the run goes. Format:
 * spec/journal.md.
 */
import { constants, mkdir, open, readFile, type FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import {
  canonical,
  fromUtf8,
  type Attempt,
  type Attestation,
  type Checkpoint,
  type Computation,
  type Outcome,
  type Snapshot,
} from '@reprise/core'
import { readFailure, RunnerError, systemCode } from '../error.ts'
import { lockFile } from './lock.ts'

/** TPMT_PUBLIC of the AK and DER of the EK certificate, hex. */
export interface JournalHost {
  readonly ak: string
  readonly ek: string | null
}

/** How many of the newest signed snapshots keep their bytes; `none`: none once the run has ended, the newest until then. */
export type KeepSnapshots = number | 'all' | 'none'

export type JournalEntry =
  | {
      readonly kind: 'start'
      readonly attempt: Attempt
      readonly computation: Computation
      readonly host: JournalHost
      readonly run: string
    }
  | { readonly kind: 'attempt'; readonly attempt: Attempt; readonly host: JournalHost }
  | { readonly kind: 'keep'; readonly snapshots: KeepSnapshots }
  | { readonly kind: 'checkpoint'; readonly checkpoint: Checkpoint }
  | { readonly kind: 'snapshot'; readonly snapshot: Snapshot }
  | { readonly kind: 'attestation'; readonly attestation: Attestation }
  | { readonly kind: 'outcome'; readonly outcome: Outcome }
  | { readonly kind: 'end'; readonly reason: 'finished' | 'interrupted' }

const ENTRY_BYTES_MAX = 16 << 20
/** How long an entry may wait for the disk when nobody waits for it. */
const FLUSH_MS = 1000

export function journalPath(home: string, run: string): string {
  return join(home, 'runs', run, 'journal')
}

function lineOf(entry: JournalEntry): string {
  const text = canonical(entry)
  return `${checksum(text)} ${text}\n`
}

function checksum(text: string): string {
  return crc32(text).toString(16).padStart(8, '0')
}

/** Appends entries in order; a failed write fails every later call, so that nothing rests on a hole. */
export interface JournalWriter extends AsyncDisposable {
  append(entry: JournalEntry): void
  /** Resolves when everything appended so far is on disk. */
  sync(): Promise<void>
  /** Why a write has failed that nobody waited for. */
  failure(): RunnerError | undefined
}

/** @throws {@link RunnerError} `JOURNAL_WRITE`, `DISK_FULL`. */
export async function createJournal(path: string): Promise<JournalWriter> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 }).catch((cause: unknown) => {
    throw journalFailure(path, cause)
  })
  const file = await openLocked(path, 'ax')
  const folder = await open(dirname(path))
  await folder.sync()
  await folder.close()
  return journalWriter(file, path)
}

export interface OpenedJournal extends ReadJournal {
  readonly journal: JournalWriter
}

/**
 * Opens a journal to go on in it, for this process alone: a torn tail is cut off, and that is on disk before anything
 * is appended.
 *
 * @throws {@link RunnerError} as {@link readJournal}; `RUN_BUSY` when another process writes it, `JOURNAL_WRITE`.
 */
export async function openJournal(path: string): Promise<OpenedJournal> {
  const file = await openLocked(path, constants.O_WRONLY | constants.O_APPEND)
  try {
    const read = await readJournal(path)
    if (read.tornBytes > 0) await cutTail(file, path, read.tornBytes)
    return { ...read, journal: journalWriter(file, path) }
  } catch (error) {
    await file.close()
    throw error
  }
}

async function openLocked(path: string, flags: string | number): Promise<FileHandle> {
  const file = await open(path, flags, 0o600).catch((cause: unknown) => {
    throw systemCode(cause) === 'ENOENT' ? readFailure(cause, path) : journalFailure(path, cause)
  })
  try {
    await lockFile(file, path)
    return file
  } catch (error) {
    await file.close()
    throw error
  }
}

async function cutTail(file: FileHandle, path: string, tornBytes: number): Promise<void> {
  try {
    const { size } = await file.stat()
    await file.truncate(size - tornBytes)
    await file.sync()
  } catch (cause) {
    throw journalFailure(path, cause)
  }
}

function journalWriter(file: FileHandle, path: string): JournalWriter {
  let pending = ''
  let timer: NodeJS.Timeout | undefined
  let tail: Promise<void> = Promise.resolve()
  let failure: RunnerError | undefined
  const flush = (): Promise<void> => {
    clearTimeout(timer)
    timer = undefined
    tail = tail.then(async () => {
      if (pending === '') return
      const text = pending
      pending = ''
      try {
        await file.appendFile(text)
        await file.datasync()
      } catch (cause) {
        throw (failure = journalFailure(path, cause))
      }
    })
    // Whoever waits sees the failure; an unwatched flush must not end the process before that.
    tail.catch(() => {})
    return tail
  }
  return {
    append(entry) {
      pending += lineOf(entry)
      timer ??= setTimeout(() => void flush(), FLUSH_MS)
    },
    sync: flush,
    failure: () => failure,
    async [Symbol.asyncDispose]() {
      // What must be on disk was waited for by `sync`; a failure here would only hide the one that led here.
      await flush().catch(() => {})
      await file.close()
    },
  }
}

function journalFailure(path: string, cause: unknown): RunnerError {
  const { code, message } = cause as NodeJS.ErrnoException
  const isFull = code === 'ENOSPC' || code === 'EDQUOT'
  return new RunnerError(isFull ? 'DISK_FULL' : 'JOURNAL_WRITE', {
    message: `the journal ${path} cannot be written: ${message}`,
    hint: isFull
      ? 'free some space, or set REPRISE_HOME to a folder on a larger disk'
      : 'check the rights of REPRISE_HOME',
    cause,
  })
}

export interface ReadJournal {
  readonly entries: readonly JournalEntry[]
  /** Bytes of a torn tail that were left out. */
  readonly tornBytes: number
}

/**
 * Reads a journal that may have been cut by a crash.
 *
 * @throws {@link RunnerError} `JOURNAL_DAMAGED` when a wrong line has correct ones after it; `INPUT_MISSING`, `INPUT_UNREADABLE`.
 */
export async function readJournal(path: string): Promise<ReadJournal> {
  const bytes = await readFile(path).catch((error: unknown) => {
    throw readFailure(error, path)
  })
  const entries: JournalEntry[] = []
  let start = 0
  while (start < bytes.length) {
    const end = bytes.indexOf(0x0a, start)
    const entry = end < 0 || end - start > ENTRY_BYTES_MAX ? undefined : entryOf(bytes.subarray(start, end))
    if (entry === undefined) {
      if (end >= 0 && hasEntryAfter(bytes, end + 1)) throw damaged(path, entries.length + 1)
      return { entries, tornBytes: bytes.length - start }
    }
    entries.push(entry)
    start = end + 1
  }
  return { entries, tornBytes: 0 }
}

function entryOf(line: Uint8Array): JournalEntry | undefined {
  try {
    const text = fromUtf8(line.subarray(9))
    const head = fromUtf8(line.subarray(0, 9))
    return head === `${checksum(text)} ` ? (JSON.parse(text) as JournalEntry) : undefined
  } catch {
    return undefined
  }
}

function hasEntryAfter(bytes: Buffer, start: number): boolean {
  for (let from = start; from < bytes.length;) {
    const end = bytes.indexOf(0x0a, from)
    if (end < 0) return false
    if (entryOf(bytes.subarray(from, end)) !== undefined) return true
    from = end + 1
  }
  return false
}

function damaged(path: string, line: number): RunnerError {
  return new RunnerError('JOURNAL_DAMAGED', {
    message: `line ${line} of ${path} is damaged, and later lines are not`,
    hint: 'a crash cannot do that: the file was changed or the disk fails; restore it from a copy',
    data: { path, line },
  })
}
