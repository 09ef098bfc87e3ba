/**
 * Batches: the newest heads of all runs that wait, under one signature of the TPM.
 *
 * Format: spec/measurement.md §6. A batch takes all that is waiting when the TPM becomes free, so the
 * lag is at most two quotes, whatever a quote costs and however fast heads come.
 */

import {
  type Attestation,
  attestationDigest,
  batchDigest,
  headDigest,
  hex,
  inclusionPaths,
  type Sha256,
  treeHash,
} from '@reprise/core'
import { HostError } from '../error.ts'
import type { OpenRun, RunHead, TpmCounts } from './protocol.ts'

/** A TPM2_Quote whose PCR values are known. */
export interface Quote extends TpmCounts {
  /** TPMS_ATTEST. */
  readonly attest: Uint8Array
  /** TPMT_SIGNATURE. */
  readonly signature: Uint8Array
  /** The values that the quote's digest covers: hex by index, bank SHA-256. */
  readonly pcrs: Readonly<Record<string, string>>
}

export interface BatcherOptions {
  readonly hostId: Uint8Array
  readonly sha256: Sha256
  /** Of registers 0 to 7 and these. */
  readonly quote: (qualifyingData: Uint8Array, pcrs: readonly number[]) => Promise<Quote>
  readonly nextBatchSeq: () => Promise<bigint>
  /** Urgent heads do not wait for it; null: as fast as the TPM is. */
  readonly batchesPerSecond: number | null
  /** The TPM failed; the batcher signs no more. */
  readonly onFailure: (error: unknown) => void
}

export interface RunEvents {
  readonly onReceipt: (attestation: Attestation) => void
  /** The run is closed: its chain cannot go on. */
  readonly onRefused: (error: HostError) => void
}

export interface BatchedRun {
  /** The newest head replaces one that waits; one that is not newer than what is signed is left out. */
  submit(head: RunHead, urgent: boolean): void
  /** What comes back from the TPM afterwards is dropped. */
  close(): void
}

interface Run {
  readonly opened: OpenRun
  readonly events: RunEvents
  previous: Uint8Array
  since: TpmCounts | null
  /** The newest seq that was given to the TPM. */
  givenSeq: number
  waiting: RunHead | null
  urgent: boolean
}

export class Batcher {
  readonly #options: BatcherOptions
  readonly #intervalMs: number
  readonly #waiting = new Set<Run>()
  readonly #open = new Set<Run>()
  #busy = false
  #stopped = false
  #lastStartMs = -Infinity
  #timer: NodeJS.Timeout | undefined

  constructor(options: BatcherOptions) {
    this.#options = options
    this.#intervalMs = options.batchesPerSecond === null ? 0 : 1000 / options.batchesPerSecond
  }

  open(opened: OpenRun, events: RunEvents): BatchedRun {
    const { previous, since, firstSeq } = opened
    const run: Run = { opened, events, previous, since, givenSeq: firstSeq - 1, waiting: null, urgent: false }
    this.#open.add(run)
    return {
      submit: (head, urgent) => this.#submit(run, head, urgent),
      close: () => this.#close(run),
    }
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
  }

  #close(run: Run): void {
    this.#open.delete(run)
    this.#waiting.delete(run)
  }

  #submit(run: Run, head: RunHead, urgent: boolean): void {
    if (!this.#open.has(run) || head.seq <= run.givenSeq) return
    if (run.waiting !== null && head.seq < run.waiting.seq) return
    run.waiting = head
    run.urgent ||= urgent
    this.#waiting.add(run)
    this.#next()
  }

  /** Starts a batch if there is something to sign and it is time. */
  #next(): void {
    if (this.#busy || this.#stopped || this.#waiting.size === 0) return
    clearTimeout(this.#timer)
    const urgent = [...this.#waiting].some((run) => run.urgent)
    const restMs = urgent ? 0 : this.#lastStartMs + this.#intervalMs - performance.now()
    if (restMs > 0) {
      this.#timer = setTimeout(() => this.#next(), restMs)
      return
    }
    this.#busy = true
    this.#lastStartMs = performance.now()
    this.#sign().then(
      () => {
        this.#busy = false
        this.#next()
      },
      (error: unknown) => {
        this.stop()
        this.#options.onFailure(error)
      },
    )
  }

  async #sign(): Promise<void> {
    const { hostId, sha256 } = this.#options
    const seq = await this.#options.nextBatchSeq()
    const batch = this.#takeWaiting()
    if (batch.length === 0) return
    const hash = treeHash('batch', sha256)
    const leaves = batch.map(({ run, head }) =>
      hash.leaf(headDigest({ ...run.opened, ...head, previous: run.previous }, sha256)),
    )
    const { root, paths } = inclusionPaths(hash, leaves)
    // One quote for all of them: each finds the registers that it needs, perhaps with more.
    const pcrs = [...new Set(batch.flatMap(({ run }) => run.opened.pcrs))]
    const quote = await this.#options.quote(batchDigest({ hostId, seq, root }, sha256), pcrs)

    const digest = attestationDigest(quote.attest, quote.signature, sha256)
    const going = batch.filter(({ run }) => this.#settle(run, quote, digest))
    // Telling the runs takes longer than giving the TPM its next batch, which only needs the digest.
    setImmediate(() => {
      const [attest, signature] = [hex(quote.attest), hex(quote.signature)]
      for (const { run, head, index } of going) {
        if (!this.#open.has(run)) continue
        run.events.onReceipt({
          attempt: run.opened.attempt,
          attest,
          batch: { count: batch.length, index, path: paths[index].map(hex), seq: String(seq) },
          pcrs: { sha256: quote.pcrs },
          seq: head.seq,
          signature,
        })
      }
    })
  }

  #takeWaiting(): { readonly run: Run; readonly head: RunHead; readonly index: number }[] {
    const batch = [...this.#waiting].map((run, index) => ({ run, head: run.waiting as RunHead, index }))
    this.#waiting.clear()
    for (const { run, head } of batch) {
      run.givenSeq = head.seq
      run.waiting = null
      run.urgent = false
    }
    return batch
  }

  /** Moves the run's chain on. @returns False when the run cannot go on; it is closed and told. */
  #settle(run: Run, quote: Quote, digest: Uint8Array): boolean {
    if (!this.#open.has(run)) return false
    if (run.since !== null && !sameCounts(run.since, quote)) {
      this.#close(run)
      run.events.onRefused(wasReset(run.since, quote))
      return false
    }
    run.previous = digest
    run.since = { resetCount: quote.resetCount, restartCount: quote.restartCount }
    return true
  }
}

export function sameCounts(a: TpmCounts, b: TpmCounts): boolean {
  return a.resetCount === b.resetCount && a.restartCount === b.restartCount
}

export function wasReset(since: TpmCounts, now: TpmCounts): HostError {
  const said = (counts: TpmCounts): string => `${counts.resetCount}/${counts.restartCount}`
  return new HostError('TPM_WAS_RESET', {
    message:
      `The TPM was reset or restarted since the run's last receipt ` +
      `(resetCount/restartCount were ${said(since)}, are ${said(now)}).`,
    hint: 'What was signed before stays valid; the run ends with an unsigned tail. Run it again for a whole record.',
    data: { since: { ...since }, now: { resetCount: now.resetCount, restartCount: now.restartCount } },
  })
}
