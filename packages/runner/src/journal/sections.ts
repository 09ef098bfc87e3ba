/**
 * Where in a journal the checkpoints of its run stand. Each attempt has a section of the file; of an earlier one only what
 * was signed counts, and what a later one computed again stands in both (spec/journal.md §2.2).
 */
import type { Attestation, Checkpoint } from '@reprise/core'
import { RunnerError } from '../error.ts'
import { entriesOfKind } from './scan.ts'

/** So many checkpoints lie between two places that are remembered. */
const MARK_EVERY = 4096

interface Section {
  /** Ascending: a checkpoint and where in the file its line begins. */
  readonly marks: { readonly seq: number; readonly startBytes: number }[]
  endBytes: number
  /** The last checkpoint of it that counts. */
  last: number
}

export class CheckpointSections {
  readonly #path: string
  readonly #sections: Section[] = []
  #noted = 0

  constructor(path: string) {
    this.#path = path
  }

  begin(): void {
    this.#sections.push({ marks: [], endBytes: 0, last: -1 })
    this.#noted = 0
  }

  /** Notes that a checkpoint stands at `startBytes` in the section that began last. */
  note(seq: number, startBytes: number): void {
    const section = this.#sections.at(-1)
    if (section === undefined) throw new Error('a checkpoint stands in a section')
    if (this.#noted++ % MARK_EVERY === 0) section.marks.push({ seq, startBytes })
    section.last = seq
  }

  /** Ends the section that began last: of it, checkpoints up to `last` count. */
  end(endBytes: number, last: number): void {
    const section = this.#sections.at(-1)
    if (section === undefined) throw new Error('a section that ends has begun')
    section.endBytes = endBytes
    section.last = Math.min(section.last, last)
  }

  /** One checkpoint of those sections. */
  async at(seq: number): Promise<Checkpoint | undefined> {
    for await (const [checkpoint] of this.read(seq, seq)) return checkpoint
    return undefined
  }

  /** The checkpoints from `first` to `last` of all sections that have ended, each once. */
  async *read(first: number, last: number): AsyncGenerator<readonly Checkpoint[]> {
    let next = first
    for (const section of this.#sections) {
      const until = Math.min(section.last, last)
      if (until < next) continue
      const { startBytes } = section.marks.findLast(({ seq }) => seq <= next) ?? section.marks[0]
      for await (const batch of entriesOfKind(this.#path, { start: startBytes, end: section.endBytes }, 'checkpoint')) {
        const found: Checkpoint[] = []
        for (const { checkpoint } of batch) {
          if (checkpoint.seq < next || checkpoint.seq > until) continue
          if (checkpoint.seq !== next) throw moved(this.#path, next)
          found.push(checkpoint)
          next += 1
        }
        if (found.length > 0) yield found
        if (next > until) break
      }
      if (next <= until) throw moved(this.#path, next)
    }
  }
}

export async function* attestationsIn(path: string, endBytes: number): AsyncGenerator<readonly Attestation[]> {
  for await (const batch of entriesOfKind(path, { start: 0, end: endBytes }, 'attestation'))
    yield batch.map(({ attestation }) => attestation)
}

/** One after the other what comes in batches. */
export class Cursor<T> implements AsyncDisposable {
  readonly #batches: AsyncIterator<readonly T[]>
  #batch: readonly T[] = []
  #at = 0

  constructor(batches: AsyncIterable<readonly T[]>) {
    this.#batches = batches[Symbol.asyncIterator]()
  }

  /** Undefined after the last one. */
  async next(): Promise<T | undefined> {
    while (this.#at === this.#batch.length) {
      const { done, value } = await this.#batches.next()
      if (done === true) return undefined
      this.#batch = value
      this.#at = 0
    }
    return this.#batch[this.#at++]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#batches.return?.()
  }
}

function moved(path: string, seq: number): RunnerError {
  return new RunnerError('JOURNAL_DAMAGED', {
    message: `checkpoint ${seq} is no longer where it was in ${path}`,
    hint: 'only the process that runs it may write to a journal, and only at its end; restore it from a copy',
    data: { path, seq },
  })
}
