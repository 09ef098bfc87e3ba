/**
 * Goes through a journal in pieces: it may be larger than memory, and cut by a crash. Format: spec/journal.md §1.
 */
import { open, type FileHandle } from 'node:fs/promises'
import { decodeCheckpointLine, fromUtf8 } from '@reprise/core'
import { readFailure, RunnerError } from '../error.ts'
import { checksum, type JournalEntry } from './entries.ts'

export const ENTRY_BYTES_MAX = 16 << 20
const PIECE_BYTES = 1 << 20
const LINE_FEED = 0x0a
/** Checksum and space. */
const HEAD_BYTES = 9

/** Which bytes of a journal; an end that is not given is that of the file. */
export interface ByteRange {
  readonly start: number
  readonly end?: number
}

interface Line {
  /** Without its line feed; undefined when it is longer than any entry. */
  readonly bytes: Buffer | undefined
  readonly startBytes: number
  readonly endBytes: number
  readonly hasLineFeed: boolean
}

export interface EntryPlace {
  /** From 1. */
  readonly line: number
  readonly startBytes: number
}

export interface Scanned {
  /** The longest prefix of whole, correct lines. */
  readonly lines: number
  readonly wholeBytes: number
  /** Bytes of a torn tail that were left out. */
  readonly tornBytes: number
}

/**
 * Hands on every entry of a journal that may have been cut by a crash, in order.
 *
 * @param take - What it throws ends the scan.
 * @throws {@link RunnerError} `JOURNAL_DAMAGED` when a wrong line has correct ones after it; `INPUT_MISSING`, `INPUT_UNREADABLE`.
 */
export async function scanJournal(
  path: string,
  take: (entry: JournalEntry, place: EntryPlace) => Promise<void> | undefined,
): Promise<Scanned> {
  let lines = 0
  let wholeBytes = 0
  let endBytes = 0
  let isWrong = false
  for await (const batch of lineBatches(path, { start: 0 })) {
    for (const line of batch) {
      endBytes = line.endBytes
      const entry = line.hasLineFeed ? entryOf(line.bytes) : undefined
      if (isWrong && entry !== undefined) throw damaged(path, lines + 1)
      if (entry === undefined) isWrong = true
      if (isWrong || entry === undefined) continue
      lines += 1
      // Most entries are taken at once: to wait for each would take longer than to read it.
      const taking = take(entry, { line: lines, startBytes: line.startBytes })
      if (taking !== undefined) await taking
      wholeBytes = line.endBytes
    }
  }
  return { lines, wholeBytes, tornBytes: endBytes - wholeBytes }
}

/**
 * The entries of one kind in a part of a journal that was scanned before, many at a time.
 *
 * @throws {@link RunnerError} `JOURNAL_DAMAGED` when a line has changed meanwhile.
 */
export async function* entriesOfKind<Kind extends 'attestation' | 'checkpoint'>(
  path: string,
  range: ByteRange,
  kind: Kind,
): AsyncGenerator<readonly Extract<JournalEntry, { kind: Kind }>[]> {
  // The first name of their canonical JSON: most lines are passed over unread.
  const beginning = Buffer.from(`{"${kind}":`)
  for await (const batch of lineBatches(path, range)) {
    const found: Extract<JournalEntry, { kind: Kind }>[] = []
    for (const { bytes, startBytes } of batch) {
      if (
        bytes === undefined ||
        bytes.compare(beginning, 0, undefined, HEAD_BYTES, HEAD_BYTES + beginning.length) !== 0
      )
        continue
      const entry = entryOf(bytes)
      if (entry === undefined) throw changed(path, startBytes)
      if (entry.kind === kind) found.push(entry as Extract<JournalEntry, { kind: Kind }>)
    }
    if (found.length > 0) yield found
  }
}

async function* lineBatches(path: string, range: ByteRange): AsyncGenerator<readonly Line[]> {
  let file: FileHandle
  try {
    file = await open(path)
  } catch (error) {
    throw readFailure(error, path)
  }
  try {
    yield* linesOf(file, range)
  } catch (error) {
    throw error instanceof RunnerError ? error : readFailure(error, path)
  } finally {
    await file.close()
  }
}

async function* linesOf(file: FileHandle, range: ByteRange): AsyncGenerator<Line[]> {
  const { start } = range
  // What is appended meanwhile is for the next reader.
  const end = range.end ?? (await file.stat()).size
  let rest: Buffer = Buffer.alloc(0)
  /** Bytes of a line that is too long, which are not kept. */
  let droppedBytes = 0
  let lineStart = start
  let at = start
  while (at < end) {
    const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, end - at))
    const { bytesRead } = await file.read(piece, 0, piece.length, at)
    if (bytesRead === 0) break
    at += bytesRead
    const bytes = rest.length === 0 ? piece.subarray(0, bytesRead) : Buffer.concat([rest, piece.subarray(0, bytesRead)])
    const lines: Line[] = []
    let from = 0
    for (let to; (to = bytes.indexOf(LINE_FEED, from)) >= 0; from = to + 1) {
      const isTooLong = droppedBytes > 0 || to - from > ENTRY_BYTES_MAX
      const endBytes = lineStart + droppedBytes + to - from + 1
      lines.push({
        bytes: isTooLong ? undefined : bytes.subarray(from, to),
        startBytes: lineStart,
        endBytes,
        hasLineFeed: true,
      })
      lineStart = endBytes
      droppedBytes = 0
    }
    rest = bytes.subarray(from)
    if (rest.length > ENTRY_BYTES_MAX) {
      droppedBytes += rest.length
      rest = Buffer.alloc(0)
    }
    if (lines.length > 0) yield lines
  }
  if (rest.length + droppedBytes === 0) return
  yield [
    { bytes: undefined, startBytes: lineStart, endBytes: lineStart + droppedBytes + rest.length, hasLineFeed: false },
  ]
}

const CHECKPOINT_HEAD = '{"checkpoint":'
const CHECKPOINT_TAIL = ',"kind":"checkpoint"}'

function entryOf(line: Buffer | undefined): JournalEntry | undefined {
  if (line === undefined || line.length < HEAD_BYTES) return undefined
  try {
    const rest = line.subarray(HEAD_BYTES)
    if (line.toString('latin1', 0, HEAD_BYTES) !== `${checksum(rest)} `) return undefined
    const text = fromUtf8(rest)
    return checkpointEntryOf(text) ?? (JSON.parse(text) as JournalEntry)
  } catch {
    return undefined
  }
}

/** A million lines come this way: what stands as in a record is decoded by the same expression. */
function checkpointEntryOf(text: string): JournalEntry | undefined {
  if (!text.startsWith(CHECKPOINT_HEAD) || !text.endsWith(CHECKPOINT_TAIL)) return undefined
  try {
    const inner = text.slice(CHECKPOINT_HEAD.length, -CHECKPOINT_TAIL.length)
    return { kind: 'checkpoint', checkpoint: decodeCheckpointLine(inner) }
  } catch {
    // Its checksum is right: what is wrong with it is for the reader of entries to say.
    return undefined
  }
}

function damaged(path: string, line: number): RunnerError {
  return new RunnerError('JOURNAL_DAMAGED', {
    message: `line ${line} of ${path} is damaged, and later lines are not`,
    hint: 'a crash cannot do that: the file was changed or the disk fails; restore it from a copy',
    data: { path, line },
  })
}

function changed(path: string, startBytes: number): RunnerError {
  return new RunnerError('JOURNAL_DAMAGED', {
    message: `${path} has changed at byte ${startBytes} while it was read`,
    hint: 'only the process that runs it may write to a journal, and only at its end; restore it from a copy',
    data: { path },
  })
}
