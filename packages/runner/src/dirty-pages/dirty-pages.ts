/**
 * Which pages of a machine's memory changed since the last checkpoint, for the machine's thread: from the kernel where
 * that is quicker and possible, else by comparing everything. Both give the same pages: what the kernel names are the
 * pages that were written, and they are compared with the shadow too. On any doubt everything is compared, which is
 * right whatever happened before, because the shadow is exact.
 */
import { PAGE_BYTES } from '@reprise/core'
import { takeChangedPages, UsedBlocks, type PagesDiffer, type PageRange } from '@reprise/wasm'
import { locate } from './locate.ts'
import { compareBecause, KERNEL, type DirtyPagesMethod } from './method.ts'
import { ScannerClient, watch } from './scanner-client.ts'
import type { DirtyPagesChoice } from './start.ts'

/** Comparing that much takes about 10 ms; the scanner costs its start, and each page a fault when it is first written. */
export const KERNEL_BYTES_MIN = 64 << 20

/**
 * A page costs 1.2 µs when it is first written after a checkpoint, a comparison 0.15 to 0.2 µs for each page there is.
 * So where more than this share of them is written, everything is compared for some checkpoints, and then it is tried again.
 */
const DENSE_SHARE = 1 / 8
const REST_CHECKPOINTS = 8

export interface DirtyPagesOptions {
  readonly choice: DirtyPagesChoice
  readonly differs: PagesDiffer
  /** Called at most once, when a scanner would pay: it, or why there is none, comes by `attach` later. */
  readonly wantScanner: () => void
  /** Which way it goes from now on. */
  readonly onMethod: (method: DirtyPagesMethod) => void
}

/** What the scanner watches. `memory.grow` makes another buffer, usually at the same address. */
interface Watched {
  readonly buffer: ArrayBufferLike
  readonly address: number
  readonly pages: number
}

type State =
  | { readonly kind: 'small' | 'waiting' | 'off' }
  | { readonly kind: 'attached'; readonly client: ScannerClient; readonly watched: Watched | undefined }
  | { readonly kind: 'resting'; readonly client: ScannerClient; readonly checkpoints: number }

export class DirtyPages {
  readonly #options: DirtyPagesOptions
  #state: State = { kind: 'small' }
  /** Undefined: anywhere. */
  #used: UsedBlocks | undefined

  constructor(options: DirtyPagesOptions) {
    this.#options = options
    if (options.choice !== 'compare') return
    this.#state = { kind: 'off' }
    options.onMethod(compareBecause('it was asked for'))
  }

  /** The shadow holds zeros, but for these pages; told before anything is taken, or not at all. */
  beginsWith(pages: readonly PageRange[]): void {
    this.#used = new UsedBlocks()
    for (const range of pages) this.#used.add(range)
  }

  /**
   * Brings `shadow` up to `memory`, whose machine stands still. A page that is not named has not changed.
   *
   * @returns The pages that changed, in ascending order and in parts. All must be asked for.
   */
  take(memory: Uint8Array, shadow: Uint8Array): Iterable<Int32Array<ArrayBuffer>> {
    const where = { candidates: this.#candidates(memory), used: this.#used }
    return takeChangedPages(memory, shadow, this.#options.differs, where)
  }

  /** @param scanner - Its process, or why there is none. */
  attach(scanner: number | string): void {
    try {
      if (typeof scanner === 'string') throw new Error(scanner)
      this.#state = { kind: 'attached', client: new ScannerClient(scanner), watched: undefined }
    } catch (error) {
      this.#giveUp(error as Error)
    }
  }

  /** To be told how large the memory is, now and then: the scanner may be there before the next checkpoint. */
  notice(memoryBytes: number): void {
    if (this.#state.kind !== 'small' || memoryBytes < KERNEL_BYTES_MIN) return
    this.#state = { kind: 'waiting' }
    this.#options.wantScanner()
  }

  #candidates(memory: Uint8Array): readonly PageRange[] {
    this.notice(memory.length)
    const all = [{ first: 0, count: memory.length / PAGE_BYTES }]
    const state = this.#state
    if (state.kind === 'resting') {
      const { client, checkpoints } = state
      this.#state =
        checkpoints > 1
          ? { kind: 'resting', client, checkpoints: checkpoints - 1 }
          : { kind: 'attached', client, watched: undefined }
    }
    if (state.kind !== 'attached' || memory.length === 0) return all
    const { client, watched } = state
    try {
      const isKnown = watched?.buffer === memory.buffer
      const written = isKnown ? client.take(watched.address, watched.pages) : this.#watch(client, memory, watched)
      if (watched !== undefined) this.#restWhenDense(written)
      return written ?? all
    } catch (error) {
      client.close()
      this.#giveUp(error as Error)
      return all
    }
  }

  #restWhenDense(written: readonly PageRange[] = []): void {
    if (this.#state.kind !== 'attached' || this.#state.watched === undefined || this.#options.choice === 'kernel')
      return
    const { client, watched } = this.#state
    const count = written.reduce((sum, range) => sum + range.count, 0)
    if (count <= DENSE_SHARE * watched.pages) return
    client.release(watched.address, watched.pages)
    this.#state = { kind: 'resting', client, checkpoints: REST_CHECKPOINTS }
    this.#options.onMethod(compareBecause('so many pages change from one checkpoint to the next that it is cheaper'))
  }

  /** Watches a memory that is new or has grown. @returns The pages that may have changed; undefined: all. */
  #watch(client: ScannerClient, memory: Uint8Array, before: Watched | undefined): PageRange[] | undefined {
    const pages = memory.length / PAGE_BYTES
    const address = locate(memory, before?.address)
    const touched = watch(client, memory, address)
    this.#state = { kind: 'attached', client, watched: { buffer: memory.buffer, address, pages } }
    if (before === undefined) this.#options.onMethod(KERNEL)
    // Of pages that are watched for the first time, the kernel names all that were ever touched. The others are zero
    // and always were, so they are zero in the shadow too, unless the memory had lain elsewhere.
    return before === undefined || before.address === address ? touched : undefined
  }

  #giveUp(error: Error): void {
    if (this.#options.choice === 'kernel') throw new Error(`the kernel must be asked and cannot: ${error.message}`)
    this.#state = { kind: 'off' }
    this.#options.onMethod(compareBecause(error.message))
  }
}
