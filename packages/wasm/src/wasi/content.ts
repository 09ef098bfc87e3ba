/**
 * The bytes of a file or stream, with their page tree. Input bytes belong to the caller and are copied on the first
 * change; from then on the content owns a buffer that grows by doubling, and only changed pages are hashed again.
 */
import { PAGE_BYTES, pageCount, PageTree, type Sha256 } from '@reprise/core'
import { WasmError } from '../error.ts'
import { Errno, refuse } from './abi.ts'
import type { Notes } from './notes.ts'
import { lengthOf, readBytes, type UnreadBytes } from './options.ts'

/** The bytes that all owned contents of one host may hold together. */
export class Budget {
  readonly #maxBytes: number
  readonly #notes: Notes
  #usedBytes = 0

  constructor(maxBytes: number, notes: Notes) {
    this.#maxBytes = maxBytes
    this.#notes = notes
  }

  /** Less than nothing gives back. @throws Refusal NOSPC when the limit would be passed; nothing is taken then. */
  take(lengthBytes: number): void {
    if (this.#usedBytes + lengthBytes > this.#maxBytes) {
      this.#notes.add('LIMIT', 'content bytes')
      refuse(Errno.NOSPC)
    }
    this.#usedBytes += lengthBytes
  }
}

export class Content {
  readonly #budget: Budget
  readonly #sha256: Sha256
  /** What is not read yet is the caller's. */
  #bytes: Uint8Array | UnreadBytes
  #length: number
  #owned: boolean
  #root: Uint8Array | undefined
  /** Its tree, since it was asked for, and the pages that differ from it. */
  #hashed: { readonly tree: PageTree; readonly changed: Set<number> } | undefined
  /** The shortest length since the tree was brought up to date. */
  #shortest = 0

  /** @param input - Bytes of the caller, never changed; without them the content is empty and owned. */
  constructor(budget: Budget, sha256: Sha256, input?: Uint8Array | UnreadBytes) {
    this.#budget = budget
    this.#sha256 = sha256
    this.#bytes = input ?? new Uint8Array(0)
    this.#length = lengthOf(this.#bytes)
    this.#owned = input === undefined
  }

  get lengthBytes(): number {
    return this.#length
  }

  /** Whether these are no longer the caller's bytes. */
  get owned(): boolean {
    return this.#owned
  }

  /** A view, valid until the next change. */
  view(): Uint8Array {
    return this.#read().subarray(0, this.#length)
  }

  read(offset: number, target: Uint8Array): number {
    if (offset >= this.#length) return 0
    const source = this.#read().subarray(offset, Math.min(this.#length, offset + target.length))
    target.set(source)
    return source.length
  }

  /**
   * Writes the parts one behind the other; a gap before them is zeros.
   *
   * @throws Refusal NOSPC, before anything has changed.
   */
  write(offset: number, parts: readonly Uint8Array[]): void {
    const lengthBytes = parts.reduce((sum, part) => sum + part.length, 0)
    if (lengthBytes === 0) return
    const end = offset + lengthBytes
    if (end > this.#length) {
      this.resize(end)
    } else if (!this.#owned) {
      this.#budget.take(this.#length)
      this.#own(this.#length)
    }
    let at = offset
    for (const part of parts) {
      this.#read().set(part, at)
      at += part.length
    }
    this.#mark(offset, end)
  }

  /** Cuts, or grows with zeros. @throws Refusal NOSPC, before anything has changed. */
  resize(lengthBytes: number): void {
    const whole = this.#length
    this.#budget.take(this.#owned ? lengthBytes - whole : lengthBytes)
    if (!this.#owned) this.#own(Math.min(whole, lengthBytes))
    const before = this.#length
    if (lengthBytes > this.#read().length) {
      const larger = allocate(Math.max(lengthBytes, 2 * before))
      larger.set(this.view())
      this.#bytes = larger
    } else if (lengthBytes < before) {
      // What is behind the end must read as zero when the content grows again.
      this.#read().fill(0, lengthBytes, before)
    }
    this.#length = lengthBytes
    this.#shortest = Math.min(this.#shortest, lengthBytes)
    // The pages in which old and new content end change their length.
    for (const length of [whole, lengthBytes]) if (length > 0) this.#mark(length - 1, length)
  }

  /** Gives the bytes back to the budget; the content is not used afterwards. */
  drop(): void {
    if (this.#owned) this.#budget.take(-this.#length)
    this.#bytes = new Uint8Array(0)
    this.#length = 0
  }

  /** The page root, spec/measurement.md §2.2. */
  root(): Uint8Array {
    if (this.#root !== undefined) return this.#root
    const bytes = this.view()
    if (this.#hashed === undefined) {
      this.#hashed = { tree: new PageTree(this.#sha256), changed: new Set(Array(pageCount(bytes.length)).keys()) }
    } else if (this.#shortest < bytes.length) {
      // Growth after a cut: let the tree forget the pages that were cut off.
      this.#hashed.tree.update(bytes.subarray(0, this.#shortest), [])
    }
    const { tree, changed } = this.#hashed
    tree.update(bytes, changed)
    changed.clear()
    this.#shortest = bytes.length
    return (this.#root = tree.root())
  }

  /** Copies the caller's bytes, as many as will be kept; the budget has been asked. */
  #own(keptBytes: number): void {
    const copy = allocate(keptBytes)
    copy.set(this.#read().subarray(0, keptBytes))
    this.#bytes = copy
    this.#length = keptBytes
    this.#owned = true
    this.#root = undefined
  }

  #read(): Uint8Array {
    return (this.#bytes = readBytes(this.#bytes))
  }

  #mark(from: number, to: number): void {
    this.#root = undefined
    if (this.#hashed === undefined) return
    const last = Math.floor((to - 1) / PAGE_BYTES)
    for (let page = Math.floor(from / PAGE_BYTES); page <= last; page++) this.#hashed.changed.add(page)
  }
}

/** The limit is the guest's; that the host has less is not an outcome of the run but its failure. */
function allocate(lengthBytes: number): Uint8Array {
  try {
    return new Uint8Array(lengthBytes)
  } catch (cause) {
    throw new WasmError('HOST_MEMORY', {
      message: `The host has no ${lengthBytes} bytes for a file of the guest.`,
      hint: 'Run it where more memory is free, or let the guest write smaller files.',
      cause,
    })
  }
}
