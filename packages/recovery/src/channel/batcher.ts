/** One quote for all statements that wait, since a TPM signs far fewer than hosts want to talk. Truth: spec/channel.md §4.3. */

import type { HostTpm, RegisterQuote } from './channel.ts'
import { BATCH_MAX } from './limits.ts'
import { type BatchPlace, batchOf } from './statement.ts'

/** A statement that was quoted. */
export interface Proof extends RegisterQuote {
  readonly place: BatchPlace
}

interface Waiting {
  readonly statement: Uint8Array
  readonly pcrs: readonly number[]
  readonly isWanted: () => boolean
  readonly done: (proof: Promise<Proof>) => void
}

export interface Prover {
  /**
   * @param wanted.pcrs - Ascending.
   * @param wanted.isWanted - Asked when its turn comes: whoever left meanwhile takes nobody's place. It then never resolves.
   */
  readonly prove: (
    statement: Uint8Array,
    wanted: { readonly pcrs: readonly number[]; readonly isWanted: () => boolean },
  ) => Promise<Proof>
}

/** One for each TPM: what is asked while a quote is under way goes into the next one. */
const provers = new WeakMap<HostTpm, Prover>()

export function proverOf(tpm: HostTpm): Prover {
  const known = provers.get(tpm)
  if (known !== undefined) return known
  const made = makeProver(tpm)
  provers.set(tpm, made)
  return made
}

function makeProver(tpm: HostTpm): Prover {
  let queue: Waiting[] = []
  let isBusy = false

  async function run(): Promise<void> {
    isBusy = true
    // Whoever asks in the same turn of the event loop shall be among the first.
    await new Promise(setImmediate)
    for (;;) {
      queue = queue.filter(({ isWanted }) => isWanted())
      if (queue.length === 0) break
      const { pcrs } = queue[0]
      const key = pcrs.join()
      const batch = queue.filter((waiting) => waiting.pcrs.join() === key).slice(0, BATCH_MAX)
      const taken = new Set(batch)
      queue = queue.filter((waiting) => !taken.has(waiting))
      const { root, places } = batchOf(batch.map(({ statement }) => statement))
      const quote = tpm.quote(root, pcrs)
      for (const [i, { done }] of batch.entries()) done(quote.then((quoted) => ({ ...quoted, place: places[i] })))
      await quote.catch(() => undefined)
    }
    isBusy = false
  }

  return {
    prove: (statement, { pcrs, isWanted }) =>
      new Promise((done) => {
        queue.push({ statement, pcrs, isWanted, done })
        if (!isBusy) void run()
      }),
  }
}
