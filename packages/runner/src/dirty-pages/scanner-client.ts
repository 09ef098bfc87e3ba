/**
 * The scanner as the machine's thread reaches it: one question at a time over two pipes, without an event loop, and
 * never waiting for ever. The protocol and its limits: scanner.c.
 */
import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs'
import { PAGE_BYTES } from '@reprise/core'
import type { PageRange } from '@reprise/wasm'

const MAGIC = 0x31474450
const HELLO = 1
const REGISTER = 2
const TAKE = 3
const RELEASE = 4
/** The scanner's ends of the pipes that are meant for this thread. */
const REQUESTS = 6
const ANSWERS = 7
const WAIT_MS = 0.1
/** About ten seconds; waits are counted, so that a machine that slept is not taken for a scanner that hangs. */
const WAITS_MAX = 100_000

export class ScannerClient {
  readonly #requests: number
  readonly #answers: number
  readonly #bell = new Int32Array(new SharedArrayBuffer(4))

  /** @throws Error when the scanner cannot be reached or is another version. */
  constructor(pid: number) {
    this.#requests = openSync(`/proc/${pid}/fd/${REQUESTS}`, constants.O_WRONLY | constants.O_NONBLOCK)
    this.#answers = openSync(`/proc/${pid}/fd/${ANSWERS}`, constants.O_RDONLY | constants.O_NONBLOCK)
    this.#ask(HELLO, 0, 0)
  }

  /** Writes to these pages are watched from now on. @throws Error when the kernel refuses. */
  register(address: number, pages: number): void {
    this.#ask(REGISTER, address, pages)
  }

  /**
   * The pages written since the last time, in ascending order.
   *
   * @throws Error when the kernel refuses, or what the scanner says cannot be.
   */
  take(address: number, pages: number): PageRange[] {
    const words = this.#ask(TAKE, address, pages)
    const ranges: PageRange[] = []
    let end = -1
    for (let i = 0; i < words.length; i += 2) {
      const [first, count] = [words[i], words[i + 1]]
      if (first <= end || count === 0 || first + count > pages) throw new Error('the scanner named pages in disorder')
      end = first + count
      ranges.push({ first, count })
    }
    return ranges
  }

  /** Writes to these pages cost nothing any more, until they are registered again. */
  release(address: number, pages: number): void {
    this.#ask(RELEASE, address, pages)
  }

  /** The scanner ends when it sees this. */
  close(): void {
    closeSync(this.#requests)
    closeSync(this.#answers)
  }

  #ask(kind: number, address: number, pages: number): Uint32Array {
    const request = new DataView(new ArrayBuffer(16))
    request.setUint32(0, kind, true)
    request.setUint32(4, pages, true)
    request.setBigUint64(8, BigInt(address), true)
    // Shorter than any pipe, which is empty: the scanner has answered all that came before.
    if (writeSync(this.#requests, request) !== 16) throw new Error('the scanner takes no requests')
    const [magic, error, count] = this.#read(3)
    if (magic !== MAGIC) throw new Error('the scanner is of another version')
    if (error !== 0) throw new Error(`the kernel does not allow it (error ${error} of request ${kind})`)
    if (count > pages) throw new Error('the scanner named more runs than there are pages')
    return this.#read(2 * count)
  }

  #read(count: number): Uint32Array {
    const words = new Uint32Array(count)
    const bytes = new Uint8Array(words.buffer)
    let waits = 0
    for (let done = 0; done < bytes.length;) {
      const received = this.#readSome(bytes.subarray(done))
      if (received === 0) throw new Error('the scanner has ended')
      done += received ?? 0
      if (received !== undefined) continue
      if (++waits > WAITS_MAX) throw new Error('the scanner does not answer')
      Atomics.wait(this.#bell, 0, 0, WAIT_MS)
    }
    return words
  }

  /** Undefined when nothing is there yet, 0 when nothing will come. */
  #readSome(into: Uint8Array): number | undefined {
    try {
      return readSync(this.#answers, into)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return undefined
      throw error
    }
  }
}

/**
 * Has the pages of a memory watched, which stands still, and shows on three of them that it is this very memory at this
 * address: one byte of each is written with its own value, and exactly these pages must be named. They are written
 * before, too: a page that nobody touched yet may come as a part of a large one, which is then named as a whole.
 *
 * @returns The pages that were ever touched; with large pages these count whole.
 * @throws Error when others are named.
 */
export function watch(client: ScannerClient, memory: Uint8Array, address: number): PageRange[] {
  const pages = memory.length / PAGE_BYTES
  const written = [...new Set([0, Math.floor(Math.random() * pages), pages - 1])].sort((a, b) => a - b)
  const write = (): void => {
    for (const page of written) Atomics.or(memory, page * PAGE_BYTES + Math.floor(Math.random() * PAGE_BYTES), 0)
  }
  client.register(address, pages)
  write()
  const touched = client.take(address, pages)
  write()
  const named = client
    .take(address, pages)
    .flatMap(({ first, count }) => Array.from({ length: count }, (_, i) => first + i))
  if (named.join() !== written.join()) throw new Error('the kernel did not name exactly the pages that were written')
  return touched
}
