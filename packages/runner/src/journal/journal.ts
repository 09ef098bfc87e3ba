/**
 * The journal of a run: everything that its record will carry, on disk while the run goes. Format:
 * spec/journal.md.
 */
import { constants, mkdir, open, stat, type FileHandle } from 'node:fs/promises'
import type { BigIntStats } from 'node:fs'
import { dirname, join } from 'node:path'
import { readFailure, RunnerError, systemCode } from '../error.ts'
import { lineOf, type JournalEntry } from './entries.ts'
import { busy, isFileLocked, lockFile } from './lock.ts'
import { readRun, type JournalRun, type ReadRun } from './reading.ts'

/** How long an entry may wait for the disk when nobody waits for it, and how many characters. */
const FLUSH_MS = 1000
const PENDING_CHARS_MAX = 1 << 20

export function journalPath(home: string, run: string): string {
  return join(home, 'runs', run, 'journal')
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

export interface OpenedJournal {
  /** Undefined when the run was cut off before its first line was on disk. */
  readonly run: JournalRun | undefined
  readonly journal: JournalWriter
}

/** What a journal said when it was not locked yet. */
export interface PeekedJournal extends ReadRun {
  /** Of the file before it was read. */
  readonly seen: BigIntStats
}

/**
 * Reads a journal that another process may be writing: what it says is a guess, until {@link openJournal} finds that the file
 * has not changed. To lock it takes as long as to read it. @throws {@link RunnerError} as {@link readRun}, and the system's own error.
 */
export async function peekJournal(path: string): Promise<PeekedJournal> {
  const seen = await stat(path, { bigint: true })
  return { ...(await readRun(path)), seen }
}

function isUnchanged(a: BigIntStats, b: BigIntStats): boolean {
  return (['dev', 'ino', 'size', 'mtimeNs', 'ctimeNs'] as const).every((field) => a[field] === b[field])
}

/**
 * Opens a journal to go on in it, for this process alone: a torn tail is cut off, and that is on disk before anything
 * is appended.
 *
 * @param peeking - What was read meanwhile: the run is that one, the very object, when nobody has written since.
 * @throws {@link RunnerError} as {@link readRun}; `RUN_BUSY` when another process writes it, `JOURNAL_WRITE`.
 */
export async function openJournal(path: string, peeking?: Promise<PeekedJournal>): Promise<OpenedJournal> {
  // What is wrong with it is said of what is locked.
  const peeks = peeking?.catch(() => undefined)
  const file = await openLocked(path, constants.O_WRONLY | constants.O_APPEND)
  try {
    const peeked = await peeks
    const stands = peeked !== undefined && isUnchanged(peeked.seen, await file.stat({ bigint: true }))
    const { run, tornBytes } = stands ? peeked : await readRun(path)
    if (tornBytes > 0) await cutTail(file, path, tornBytes)
    return { run, journal: journalWriter(file, path) }
  } catch (error) {
    await file.close()
    throw error
  }
}

export async function openLocked(path: string, flags: string | number): Promise<FileHandle> {
  const file = await open(path, flags, 0o600).catch((cause: unknown) => {
    throw systemCode(cause) === 'ENOENT' ? readFailure(cause, path) : journalFailure(path, cause)
  })
  try {
    await lockFile(file, path)
    // Whoever waited for the lock of a journal that was replaced meanwhile would write where nobody looks.
    if ((await file.stat()).ino !== (await stat(path)).ino) throw busy(path)
    return file
  } catch (error) {
    await file.close()
    throw error
  }
}

/** Whether a process is at work on the run of a journal. @throws RunnerError `INPUT_MISSING`, `JOURNAL_WRITE`. */
export async function isLocked(path: string): Promise<boolean> {
  const file = await open(path, constants.O_RDONLY).catch((error: unknown) => {
    throw readFailure(error, path)
  })
  try {
    return await isFileLocked(file, path)
  } finally {
    await file.close()
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
      if (pending.length > PENDING_CHARS_MAX) void flush()
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

export function journalFailure(path: string, cause: unknown): RunnerError {
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
