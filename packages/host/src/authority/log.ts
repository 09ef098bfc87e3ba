/**
 * The log of an authority, which is also its state: one canonical JSON line for each event, on disk before
 * anybody hears of it, each line with the digest of the one before. Format: spec/enrolment.md §6.
 *
 * Several processes may work with one log (a server, and commands beside it): each transaction holds flock(2) on it,
 * which the kernel takes back when its holder dies, and begins by reading what others have written.
 */

import { type FileHandle, open, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { canonical, equal, hex, parseCanonicalBytes, utf8, ZERO_DIGEST } from '@reprise/core'
import { HostError } from '../error.ts'
import { syncFolder } from '../files.ts'
import { flock } from '../flock.ts'
import { sha256 } from '../hashing.ts'
import { toJson } from '../signer/decode.ts'
import { decodeEntry, type Entry, type Event } from './events.ts'

/** Longest line, in bytes. */
export const LINE_BYTES_MAX = 192 << 10
/** A signature by a slow TPM takes a second; a few may wait for each other. */
const LOCK_SECONDS = 30
const LINE_FEED = 0x0a
const READ_BYTES = 4 << 20
const TAG = utf8('reprise/authority-log/v1\0')

/** What a transaction may do. */
export interface Transaction {
  /** Writes events, makes them durable, and applies them. */
  readonly append: (...events: readonly Event[]) => Promise<void>
}

export function lineDigest(line: Uint8Array): Uint8Array {
  return sha256(Buffer.concat([TAG, line]))
}

export class AuthorityLog {
  readonly #path: string
  readonly #apply: (entry: Entry) => void
  readonly #now: () => Date
  #turn: Promise<unknown> = Promise.resolve()
  /** Up to where it has been read and applied. */
  #offsetBytes = 0
  #seq = 0
  #head: Uint8Array = ZERO_DIGEST
  readonly #heads = new Set<string>()

  /** @param options.apply - Called with each entry once, in order, whoever wrote it. */
  constructor(options: { readonly path: string; readonly apply: (entry: Entry) => void; readonly now: () => Date }) {
    this.#path = options.path
    this.#apply = options.apply
    this.#now = options.now
  }

  /** Digest of the last line. */
  get head(): Uint8Array {
    return this.#head
  }

  /** Whether a line has that digest, hex. */
  has(digest: string): boolean {
    return this.#heads.has(digest)
  }

  /** How many lines there are. */
  get length(): number {
    return this.#seq
  }

  /** Whether others have written since; without waiting for them. */
  async isBehind(): Promise<boolean> {
    return (await stat(this.#path)).size !== this.#offsetBytes
  }

  /**
   * Does its work while nobody else writes, on a state that holds all that was written.
   *
   * @throws {@link HostError} `AUTHORITY_LOG` for a log that was changed or damaged, `AUTHORITY_HOME` when others keep it
   *   locked; what `work` throws: what it had appended stays.
   */
  transact<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    const turn = this.#turn.then(() => this.#locked(work))
    this.#turn = turn.catch(() => undefined)
    return turn
  }

  async #locked<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    const file = await open(this.#path, 'r+')
    try {
      if (!(await flock(file.fd, { mode: 'exclusive', waitSeconds: LOCK_SECONDS }))) {
        throw new HostError('AUTHORITY_HOME', {
          message: `Another process has kept ${this.#path} locked for ${LOCK_SECONDS} s.`,
          hint: 'See who it is: fuser -v on that file.',
        })
      }
      await this.#readOn(file)
      return await work({ append: (...events) => this.#append(file, events) })
    } finally {
      await file.close()
    }
  }

  /** Applies what was written since; cuts off a last line that a crash left unfinished. */
  async #readOn(file: FileHandle): Promise<void> {
    const { size } = await file.stat()
    if (size < this.#offsetBytes) throw this.#damaged('it is shorter than it was')
    let rest: Uint8Array = new Uint8Array()
    let at = this.#offsetBytes
    while (at < size) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(Math.min(READ_BYTES, size - at)), { position: at })
      if (bytesRead === 0) break
      at += bytesRead
      rest = this.#take(Buffer.concat([rest, buffer.subarray(0, bytesRead)]))
    }
    if (rest.length === 0) return
    await file.truncate(this.#offsetBytes)
    await file.sync()
  }

  /** Applies whole lines. @returns What is behind the last one. */
  #take(content: Uint8Array): Uint8Array {
    let from = 0
    for (let end = content.indexOf(LINE_FEED); end >= 0; end = content.indexOf(LINE_FEED, from)) {
      this.#accept(content.slice(from, end))
      from = end + 1
    }
    const rest = content.slice(from)
    if (rest.length > LINE_BYTES_MAX) throw this.#damaged(`line ${this.#seq + 1} is too long`)
    return rest
  }

  #accept(line: Uint8Array): void {
    const number = this.#seq + 1
    try {
      const entry = decodeEntry(parseCanonicalBytes(line, LINE_BYTES_MAX, 'the line'), 'entry')
      if (entry.seq !== this.#seq) throw new Error(`it has the number ${entry.seq}, not ${this.#seq}`)
      if (!equal(entry.previous, this.#head))
        throw new Error('it does not follow the line before it: one of the two was changed')
      this.#apply(entry)
    } catch (cause) {
      throw this.#damaged(`line ${number}: ${(cause as Error).message}`, cause)
    }
    this.#seq += 1
    this.#head = lineDigest(line)
    this.#heads.add(hex(this.#head))
    this.#offsetBytes += line.length + 1
  }

  async #append(file: FileHandle, events: readonly Event[]): Promise<void> {
    const lines: Uint8Array[] = []
    let previous = this.#head
    for (const [i, event] of events.entries()) {
      const entry: Entry = { seq: this.#seq + i, at: this.#now().toISOString(), previous, event }
      const json = toJson(entry)
      // What no reader would take must not get into the file.
      decodeEntry(json, 'entry')
      const line = utf8(canonical(json))
      lines.push(line, Uint8Array.of(LINE_FEED))
      previous = lineDigest(line)
    }
    const content = Buffer.concat(lines)
    const { bytesWritten } = await file.write(content, 0, content.length, this.#offsetBytes)
    if (bytesWritten !== content.length)
      throw this.#damaged(`only ${bytesWritten} of ${content.length} bytes were written`)
    await file.datasync()
    const rest = this.#take(content)
    if (rest.length > 0) throw this.#damaged('what was written is not whole')
  }

  #damaged(why: string, cause?: unknown): HostError {
    return new HostError('AUTHORITY_LOG', {
      message: `${this.#path} cannot be relied on: ${why}.`,
      hint: 'Everything before that place stands. Bring the file back from a backup; nothing is issued until then.',
      data: { line: this.#seq + 1, head: hex(this.#head) },
      cause,
    })
  }
}

/** Makes an empty log, which must not be there. */
export async function createLog(path: string): Promise<void> {
  const file = await open(path, 'w', 0o600)
  await file.sync()
  await file.close()
  await syncFolder(dirname(path))
}
