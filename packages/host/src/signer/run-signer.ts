/** A run as its client sees it: the newest head, the last receipt, and who waits for one. */

import {
  type Attestation,
  attestationDigest,
  decodeTpmsAttest,
  equal,
  fromHex,
  hex,
  qualifiedName,
  TPM_RH,
  ZERO_DIGEST,
} from '@reprise/core'
import { HostError } from '../error.ts'
import { hash, sha256 } from '../hashing.ts'
import type { OpenRun, Request, RunHead } from './protocol.ts'
import { within } from './within.ts'

export interface RunToSign {
  /** 32 random bytes. */
  readonly runId: Uint8Array
  /** Counts from 1. */
  readonly attempt: number
  /** The first checkpoint of this attempt. */
  readonly firstSeq: number
  readonly environmentDigest: Uint8Array
  /** The run's last attestation so far, when an earlier attempt has one. */
  readonly previous: Attestation | null
  /** Registers that its quotes cover besides 0 to 7. */
  readonly pcrs?: readonly number[]
}

export interface WaitOptions {
  readonly signal?: AbortSignal
  readonly timeoutMs?: number
}

/** Signs the heads of one run. */
export interface RunSigner {
  /** The seq of the last receipt; -1 before the first. */
  readonly signedSeq: number
  /** Hears every receipt from now on, in the order of signing, in place of who did before. */
  listen(onReceipt: (attestation: Attestation) => void): void
  /**
   * Offers a head; only the newest counts. Never blocks, never throws: trouble shows in `waitFor`.
   *
   * @param options.urgent - Sign at once instead of with the next regular batch.
   */
  submit(head: RunHead, options?: { readonly urgent?: boolean }): void
  /**
   * Waits until a receipt covers this checkpoint, and makes its head urgent.
   *
   * @returns The newest receipt; its seq is at least the one asked for.
   * @throws {@link HostError} `TPM_ROLLED_BACK` or `TPM_WAS_RESET` when the chain cannot go on, `SIGNER_LOST`, `HOST_CHANGED`, `RUN_TAKEN`,
   *   `TIMEOUT`, `CLOSED`; the signal's reason.
   */
  waitFor(seq: number, options?: WaitOptions): Promise<Attestation>
  close(): void
}

interface Waiter {
  readonly seq: number
  /** The signer knows that somebody waits. */
  told: boolean
  readonly resolve: (attestation: Attestation) => void
  readonly reject: (error: HostError) => void
}

/** What a run needs of its connection. */
export interface RunChannel {
  /** False while there is no connection or it is full; then `resume` comes later. */
  send(request: Request): boolean
  forget(run: ClientRun): void
}

export class ClientRun implements RunSigner {
  readonly #run: RunToSign
  readonly #channel: RunChannel
  readonly #waiters = new Set<Waiter>()
  #last: Attestation | null
  #signedSeq = -1
  #newest: RunHead | undefined
  /** The signer is still to be told that it is urgent. */
  #urgent = false
  /** The newest head has been sent; it is sent once more when it becomes urgent. */
  #sent = true
  #scheduled = false
  #opened = false
  #failure: HostError | undefined
  #onReceipt: ((attestation: Attestation) => void) | undefined

  constructor(run: RunToSign, channel: RunChannel) {
    this.#run = run
    this.#channel = channel
    this.#last = run.previous
  }

  get id(): string {
    return hex(this.#run.runId)
  }

  get signedSeq(): number {
    return this.#signedSeq
  }

  listen(onReceipt: (attestation: Attestation) => void): void {
    this.#onReceipt = onReceipt
  }

  submit(head: RunHead, options: { readonly urgent?: boolean } = {}): void {
    if (this.#failure !== undefined || head.seq <= (this.#newest?.seq ?? -1)) return
    this.#newest = head
    this.#urgent ||= options.urgent ?? false
    this.#sent = false
    this.#schedule()
  }

  waitFor(seq: number, options: WaitOptions = {}): Promise<Attestation> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    if (this.#last !== null && this.#signedSeq >= seq) return Promise.resolve(this.#last)
    const { promise, resolve, reject } = Promise.withResolvers<Attestation>()
    const waiter = { seq, told: false, resolve, reject }
    this.#waiters.add(waiter)
    this.#sent = false
    this.#schedule()
    const what = `a receipt for checkpoint ${seq} of run ${this.id}`
    const waiting = within(promise, { ...options, what }).finally(() => this.#waiters.delete(waiter))
    // A run that fails before its caller looks at this must not end the program; the caller still hears of it.
    waiting.catch(() => undefined)
    return waiting
  }

  close(): void {
    if (this.#opened) this.#channel.send({ type: 'closeRun', runId: this.#run.runId })
    this.fail(new HostError('CLOSED', { message: `Run ${this.id} was closed.` }))
  }

  /** How the run is opened, at first and after the connection was lost. @param akName - Of the host that signs now. */
  opening(akName: Uint8Array): OpenRun {
    const { runId, attempt, firstSeq, environmentDigest, pcrs = [] } = this.#run
    const opening = { runId, attempt, firstSeq, environmentDigest, begun: this.#signedSeq >= 0, pcrs }
    if (this.#last === null) return { ...opening, previous: ZERO_DIGEST, since: null }
    const attest = fromHex(this.#last.attest)
    const previous = attestationDigest(attest, fromHex(this.#last.signature), sha256)
    const { qualifiedSigner, clockInfo } = decodeTpmsAttest(attest)
    // Counts of another TPM, where an earlier attempt ran, say nothing about this one.
    const ours = equal(qualifiedSigner, qualifiedName({ parent: TPM_RH.ENDORSEMENT, name: akName, hash }))
    const { resetCount, restartCount, clock } = clockInfo
    return { ...opening, previous, since: ours ? { resetCount, restartCount, clock } : null }
  }

  /** The signer knows the run now: what is not signed is offered again. */
  opened(): void {
    this.#opened = true
    this.#sent = false
    for (const waiter of this.#waiters) waiter.told = false
    this.#schedule()
  }

  disconnected(): void {
    this.#opened = false
  }

  /** There is room again in the connection. */
  resume(): void {
    this.#schedule()
  }

  receipt(attestation: Attestation): void {
    if (this.#failure !== undefined) return
    this.#last = attestation
    this.#signedSeq = attestation.seq
    for (const waiter of this.#waiters) if (waiter.seq <= attestation.seq) waiter.resolve(attestation)
    this.#onReceipt?.(attestation)
  }

  /** The first reason stays. */
  fail(error: HostError): void {
    this.#failure ??= error
    for (const waiter of this.#waiters) waiter.reject(this.#failure)
    this.#channel.forget(this)
  }

  /** Heads may come faster than anybody signs: of those within one turn of the event loop the newest is sent. */
  #schedule(): void {
    if (this.#scheduled || this.#sent) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#sendNewest()
    })
  }

  #sendNewest(): void {
    const head = this.#newest
    if (this.#sent || !this.#opened || head === undefined || head.seq <= this.#signedSeq) return
    const waiters = [...this.#waiters].filter(({ seq, told }) => seq <= head.seq && !told)
    const urgent = this.#urgent || waiters.length > 0
    this.#sent = this.#channel.send({ type: 'head', runId: this.#run.runId, urgent, ...head })
    if (!this.#sent) return
    this.#urgent = false
    for (const waiter of waiters) waiter.told = true
  }
}
