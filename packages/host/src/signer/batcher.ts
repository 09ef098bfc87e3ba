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
  type Count,
  type CounterStatement,
  decodeTpmsAttest,
  fromHex,
  headDigest,
  hex,
  inclusionPaths,
  type Joined,
  joinedDigest,
  type Sha256,
  treeHash,
} from '@reprise/core'
import { HostError } from '../error.ts'
import { isOlder } from '../power/known.ts'
import type { SignedBoot } from '../power/power.ts'
import type { OpenRun, RunHead, TpmClock, TpmCounts } from './protocol.ts'

/** A TPM2_Quote whose PCR values are known. */
export interface Quote extends TpmClock {
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
  readonly boot: () => Promise<SignedBoot>
  readonly count: (count: Count) => Promise<CounterStatement>
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
  since: TpmClock | null
  /** What the next attestation has to be joined over: its attempt begins, or the TPM was in another power cycle. */
  join: 'begin' | 'change' | null
  /** Counted before there was anything to sign. */
  begun: CounterStatement | null
  /** How often in a row the TPM was in yet another power cycle when a quote came back. */
  changes: number
  /** The newest seq that was given to the TPM. */
  givenSeq: number
  waiting: RunHead | null
  urgent: boolean
}

interface Waited {
  readonly run: Run
  readonly head: RunHead
  readonly index: number
}

/** As often in a row the TPM may be reset under one head. */
const CHANGES_MAX = 5

export class Batcher {
  readonly #options: BatcherOptions
  readonly #intervalMs: number
  readonly #waiting = new Set<Run>()
  readonly #open = new Set<Run>()
  /** Those whose begin is to be counted. */
  readonly #uncounted = new Set<Run>()
  #busy = false
  #stopped = false
  #lastStartMs = -Infinity
  #timer: NodeJS.Timeout | undefined

  constructor(options: BatcherOptions) {
    this.#options = options
    this.#intervalMs = options.batchesPerSecond === null ? 0 : 1000 / options.batchesPerSecond
  }

  open(opened: OpenRun, events: RunEvents): BatchedRun {
    const { previous, since, firstSeq, begun } = opened
    const join = begun ? null : 'begin'
    const at = { join, begun: null, changes: 0, givenSeq: firstSeq - 1, waiting: null, urgent: false } as const
    const run: Run = { opened, events, previous, since, ...at }
    this.#open.add(run)
    if (join === 'begin') this.#uncounted.add(run)
    this.#next()
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
    this.#uncounted.delete(run)
  }

  #submit(run: Run, head: RunHead, urgent: boolean): void {
    if (!this.#open.has(run) || head.seq <= run.givenSeq) return
    if (run.waiting !== null && head.seq < run.waiting.seq) return
    run.waiting = head
    run.urgent ||= urgent
    this.#waiting.add(run)
    this.#next()
  }

  /** Starts a batch if there is something to sign and it is time; else what will have to be said with one. */
  #next(): void {
    if (this.#busy || this.#stopped) return
    clearTimeout(this.#timer)
    const restMs = this.#restMs()
    if (restMs <= 0) {
      this.#lastStartMs = performance.now()
      this.#work(this.#sign())
      return
    }
    const [run] = this.#uncounted
    if (run !== undefined) this.#work(this.#countBegin(run))
    else if (restMs < Infinity) this.#timer = setTimeout(() => this.#next(), restMs)
  }

  /** Until the next batch is due. */
  #restMs(): number {
    if (this.#waiting.size === 0) return Infinity
    if ([...this.#waiting].some((run) => run.urgent)) return 0
    return this.#lastStartMs + this.#intervalMs - performance.now()
  }

  #work(done: Promise<void>): void {
    this.#busy = true
    done.then(
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

  /** A run is opened before its machine is ready: its first head need not wait for what only says that it begins. */
  async #countBegin(run: Run): Promise<void> {
    this.#uncounted.delete(run)
    run.begun = await this.#count(run, 'begin')
  }

  #count({ opened: { runId, attempt }, previous }: Run, purpose: Count['purpose']): Promise<CounterStatement> {
    return this.#options.count({ purpose, runId, attempt, previous })
  }

  async #sign(): Promise<void> {
    const { hostId, sha256 } = this.#options
    const seq = await this.#options.nextBatchSeq()
    const batch = this.#takeWaiting()
    if (batch.length === 0) return
    const { boot, joined } = await this.#statements(batch)
    const hash = treeHash('batch', sha256)
    const leaves = batch.map(({ run, head, index }) =>
      hash.leaf(
        headDigest({ ...run.opened, ...head, previous: joinedDigest(run.previous, joined[index], sha256) }, sha256),
      ),
    )
    const { root, paths } = inclusionPaths(hash, leaves)
    // One quote for all of them: each finds the registers that it needs, perhaps with more.
    const pcrs = [...new Set(batch.flatMap(({ run }) => run.opened.pcrs))]
    const quote = await this.#options.quote(batchDigest({ hostId, seq, root }, sha256), pcrs)

    const digest = attestationDigest(quote.attest, quote.signature, sha256)
    const going = batch.filter((waited) => this.#settle(waited, { quote, digest, boot }))
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
          ...joined[index],
        })
      }
    })
  }

  /** What the TPM has to say before these heads are signed (spec/power-cycles.md §4), by their index. */
  async #statements(
    batch: readonly Waited[],
  ): Promise<{ readonly boot: SignedBoot | undefined; readonly joined: Joined[] }> {
    const boot = batch.some(({ run }) => run.join !== null) ? await this.#options.boot() : undefined
    const joined: Joined[] = []
    for (const { run, head } of batch) {
      const counter = await this.#counted(run, head, boot)
      joined.push({
        ...(run.join !== null && boot !== undefined && { boot: boot.statement }),
        ...(counter !== undefined && { counter }),
      })
    }
    return { boot, joined }
  }

  /** What was counted in the power cycle of the statement beside it counts; a begin that was counted before is counted again. */
  async #counted(run: Run, head: RunHead, boot: SignedBoot | undefined): Promise<CounterStatement | undefined> {
    if (run.join !== 'begin') return head.end ? await this.#count(run, 'end') : undefined
    this.#uncounted.delete(run)
    if (run.begun === null || boot === undefined || !sameCounts(countsOf(run.begun), boot))
      run.begun = await this.#count(run, 'begin')
    return run.begun
  }

  #takeWaiting(): Waited[] {
    const batch = [...this.#waiting].map((run, index) => ({ run, head: run.waiting as RunHead, index }))
    this.#waiting.clear()
    for (const { run, head } of batch) {
      run.givenSeq = head.seq
      run.waiting = null
      run.urgent = false
    }
    return batch
  }

  /** Moves the run's chain on. @returns False when this quote is not for the run. */
  #settle(
    { run, head }: Waited,
    {
      quote,
      digest,
      boot,
    }: { readonly quote: Quote; readonly digest: Uint8Array; readonly boot: SignedBoot | undefined },
  ): boolean {
    if (!this.#open.has(run)) return false
    if (run.since !== null && isOlder(run.since, quote)) return this.#refuse(run, rolledBack(run.since, quote))
    const cycle = run.join === null ? run.since : (boot ?? null)
    if (cycle !== null && !sameCounts(cycle, quote)) {
      if (++run.changes > CHANGES_MAX) return this.#refuse(run, wasReset(cycle, quote))
      // Signed again with a statement about the change: what this quote says of the run is joined to nothing.
      run.join ??= 'change'
      run.waiting ??= head
      run.urgent = true
      this.#waiting.add(run)
      return false
    }
    run.previous = digest
    run.since = { resetCount: quote.resetCount, restartCount: quote.restartCount, clock: quote.clock }
    run.join = null
    run.changes = 0
    return true
  }

  #refuse(run: Run, error: HostError): false {
    this.#close(run)
    run.events.onRefused(error)
    return false
  }
}

function countsOf({ attest }: CounterStatement): TpmCounts {
  return decodeTpmsAttest(fromHex(attest)).clockInfo
}

function sameCounts(a: TpmCounts, b: TpmCounts): boolean {
  return a.resetCount === b.resetCount && a.restartCount === b.restartCount
}

const said = (counts: TpmCounts): string => `${counts.resetCount}/${counts.restartCount}`

function wasReset(before: TpmCounts, now: TpmCounts): HostError {
  return new HostError('TPM_WAS_RESET', {
    message:
      `The TPM was reset or restarted ${CHANGES_MAX} times while one head was to be signed ` +
      `(resetCount/restartCount were ${said(before)}, are ${said(now)}).`,
    hint: 'What was signed before stays valid; the run ends with an unsigned tail. See why the TPM does not stay up.',
  })
}

/** @param since - Of the run's last attestation on this host. */
export function rolledBack(since: TpmClock, now: TpmClock): HostError {
  const at = (clock: TpmClock): string => `resetCount/restartCount ${said(clock)}, clock ${clock.clock} ms`
  return new HostError('TPM_ROLLED_BACK', {
    message: `The TPM is older than the run's last receipt: it is at ${at(now)}, and signed at ${at(since)}.`,
    hint: 'An old copy of its state was brought back. What was signed before stays valid; go on with the run on another host.',
  })
}
