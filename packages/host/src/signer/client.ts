/**
 * The client of a host's signer: starts it when there is none, and again when it goes away, and takes
 * up every run where its last receipt left it.
 */

import type { Socket } from 'node:net'
import { equal, hex, type OwnMeasurement } from '@reprise/core'
import { HostError, type HostErrorCode } from '../error.ts'
import { prepareHome } from '../home.ts'
import type { HostReport } from '../identity/report.ts'
import { greet, greetOn } from './greet.ts'
import { LineReader, writeLine } from './lines.ts'
import {
  type Answer,
  ANSWER_BYTES_MAX,
  decodeAnswer,
  encodeMessage,
  heardError,
  type Endorsement,
  type Enrolment,
  type HostFacts,
  type HostQuote,
  type Proof,
  type Request,
  type ToProve,
} from './protocol.ts'
import { ClientRun, type RunChannel, type RunSigner, type RunToSign, type WaitOptions } from './run-signer.ts'
import { retireIdentity, type SignerSettings, tryConnect } from './start.ts'
import { pause, within } from './within.ts'

export interface ConnectOptions extends SignerSettings {
  /** Sentences for the user: the signer went away, is started again, is back. */
  readonly onTrouble?: (message: string) => void
  readonly signal?: AbortSignal
}

export interface Signer extends AsyncDisposable {
  readonly host: HostFacts
  /** @throws {@link HostError} `TPM_ROLLED_BACK` when `previous` is of this host and later than its TPM, `LIMIT`, `SIGNER_LOST`. */
  openRun(run: RunToSign, options?: WaitOptions): Promise<RunSigner>
  show(options?: WaitOptions): Promise<HostReport>
  endorsement(options?: WaitOptions): Promise<Endorsement>
  /**
   * Proves to an authority that the AK is in the TPM of the EK, and that this host wants that name.
   *
   * @throws {@link HostError} `ENROLMENT_REFUSED` when the TPM does not open the challenge.
   */
  prove(asked: ToProve, options?: WaitOptions): Promise<Proof>
  /**
   * Keeps what an authority issued with the identity. Who connects from then on gets the certificates with the facts.
   *
   * @throws {@link HostError} `CERTIFICATE` when they are not for this host's AK or do not hold.
   */
  keep(enrolment: Enrolment, options?: WaitOptions): Promise<void>
  /**
   * Has what is new of it extended into the register of the host's own log.
   *
   * @returns The log as it is now extended: canonical JSON.
   * @throws {@link HostError} `LIMIT` when the log would become too long, `TPM_FAILED`, `SIGNER_LOST`.
   */
  measure(measured: readonly OwnMeasurement[], options?: WaitOptions): Promise<string>
  /** @param asked - 32 bytes that the quote answers, and registers that it covers besides 0 to 7. */
  attest(
    asked: { readonly nonce: Uint8Array; readonly pcrs: readonly number[] },
    options?: WaitOptions,
  ): Promise<HostQuote>
  /**
   * Ends the signer; resolves when it has begun to leave.
   *
   * @throws {@link HostError} `BUSY` while runs are open.
   */
  stop(options?: WaitOptions): Promise<void>
  /** Closes all its runs. The signer itself stays for others, and leaves after a while. */
  close(): Promise<void>
}

/** Longest time a signer that went away is tried to bring back. */
const RECOVER_MS = 60_000
const BACKOFF_MIN_MS = 50
const BACKOFF_MAX_MS = 5_000
/** How many signers in a row may end under one question. */
const ATTEMPTS_MAX = 3
/** Heads wait with the client while more than this is unsent, in bytes. */
const UNSENT_BYTES_MAX = 64 << 10
/** Trouble that goes away by starting again, such as a driver that is being reset; everything else is told at once. */
const PASSING: ReadonlySet<HostErrorCode> = new Set([
  'SIGNER_START',
  'SIGNER_LOST',
  'TPM_FAILED',
  'TPM_MISSING',
  'LIMIT',
])

/**
 * Connects to the signer of a home. The first time this makes the host's identity.
 *
 * @throws {@link HostError} `HOME`, `SIGNER_START`, `TPM_MISSING`, `TPM_CHANGED`, `IDENTITY_DAMAGED`, `TPM_FAILED`, `PROTOCOL`;
 *   the signal's reason.
 */
export async function connectSigner(options: ConnectOptions): Promise<Signer> {
  const { socket, host } = await greet(options, options.signal)
  return new SignerClient(options, socket, host)
}

interface Pending {
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: HostError) => void
}

class SignerClient implements Signer, RunChannel {
  readonly host: HostFacts
  readonly #options: ConnectOptions
  readonly #runs = new Map<string, ClientRun>()
  readonly #pending = new Map<number, Pending>()
  readonly #closing = new AbortController()
  #socket: Socket | undefined
  #reconnecting: Promise<void> | undefined
  #requests = 0
  /** What the signer said before it ended the connection. */
  #lastWords: HostError | undefined

  constructor(options: ConnectOptions, socket: Socket, host: HostFacts) {
    this.#options = options
    this.host = host
    this.#use(socket)
  }

  async openRun(run: RunToSign, options: WaitOptions = {}): Promise<RunSigner> {
    const client = new ClientRun(run, this)
    if (this.#runs.has(client.id)) throw new HostError('RUN_TAKEN', { message: `Run ${client.id} is open already.` })
    await this.#whileLost(options, () => this.#open(client, options))
    this.#runs.set(client.id, client)
    return client
  }

  async show(options: WaitOptions = {}): Promise<HostReport> {
    return (await this.#ask('report', 'a report of the host', options, (request) => ({ type: 'show', request }))).report
  }

  async endorsement(options: WaitOptions = {}): Promise<Endorsement> {
    const make = (request: number): Request => ({ type: 'endorsement', request })
    const { ekPublic, ekIssuers } = await this.#ask('endorsement', 'an endorsement key', options, make)
    return { ekPublic, ekIssuers }
  }

  async prove(asked: ToProve, options: WaitOptions = {}): Promise<Proof> {
    const make = (request: number): Request => ({ type: 'prove', request, ...asked })
    const { secret, quote } = await this.#ask('proof', 'an answer to the challenge', options, make)
    return { secret, quote }
  }

  async keep({ root, certificates }: Enrolment, options: WaitOptions = {}): Promise<void> {
    const make = (request: number): Request => ({ type: 'keep', request, root, certificates })
    await this.#ask('done', 'a kept certificate', options, make)
  }

  /** Asks for an answer of one type. */
  async #ask<Type extends Answer['type']>(
    type: Type,
    what: string,
    options: WaitOptions,
    make: (request: number) => Request,
  ): Promise<Answer & { readonly type: Type }> {
    const answer = await this.#whileLost(options, () => this.#request(make, what, options))
    if (answer.type === type) return answer as Answer & { readonly type: Type }
    throw new HostError('PROTOCOL', { message: `The signer answered ${answer.type} instead of ${type}.` })
  }

  async measure(measured: readonly OwnMeasurement[], options: WaitOptions = {}): Promise<string> {
    const make = (request: number): Request => ({ type: 'measure', request, measured })
    return (await this.#ask('measured', 'a measurement of the host', options, make)).log
  }

  async attest(
    asked: { readonly nonce: Uint8Array; readonly pcrs: readonly number[] },
    options: WaitOptions = {},
  ): Promise<HostQuote> {
    const make = (request: number): Request => ({ type: 'attest', request, ...asked })
    return (await this.#ask('quote', 'a quote of the host', options, make)).quote
  }

  /** Asks again, of the next signer, when the connection ends before the answer. */
  async #whileLost<T>(options: WaitOptions, ask: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      await this.#connected(options)
      try {
        return await ask()
      } catch (error) {
        if (this.#socket !== undefined || attempt === ATTEMPTS_MAX || this.#closing.signal.aborted) throw error
      }
    }
  }

  async stop(options: WaitOptions = {}): Promise<void> {
    if (this.#socket === undefined) return
    await this.#request((request) => ({ type: 'stop', request }), 'an end of the signer', options)
  }

  async close(): Promise<void> {
    if (!this.#closing.signal.aborted)
      this.#closing.abort(new HostError('CLOSED', { message: 'The signer was closed by this program.' }))
    for (const run of this.#runs.values()) run.close()
    const socket = this.#socket
    if (socket !== undefined) {
      const ended = new Promise((resolve) => socket.once('close', resolve))
      // Without waiting for the other side, which may have stopped.
      socket.destroySoon()
      await ended
    }
    await this.#reconnecting?.catch(() => undefined)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  send(request: Request): boolean {
    const socket = this.#socket
    if (socket === undefined) return false
    if (request.type === 'head' && socket.writableLength > UNSENT_BYTES_MAX) return false
    writeLine(socket, encodeMessage(request))
    return true
  }

  forget(run: ClientRun): void {
    this.#runs.delete(run.id)
  }

  #use(socket: Socket): void {
    const reader = new LineReader(ANSWER_BYTES_MAX)
    this.#socket = socket
    this.#lastWords = undefined
    socket.on('data', (chunk: Buffer) => {
      for (const answer of this.#decode(reader, chunk, socket)) this.#take(answer)
    })
    socket.on('drain', () => {
      for (const run of this.#runs.values()) run.resume()
    })
    socket.on('close', () => this.#lost())
    socket.resume()
    if (socket.closed) this.#lost()
  }

  /** What arrived before something that is no answer; that ends the connection. */
  #decode(reader: LineReader, chunk: Uint8Array, socket: Socket): readonly Answer[] {
    const answers: Answer[] = []
    try {
      for (const value of reader.push(chunk)) answers.push(decodeAnswer(value))
    } catch (error) {
      this.#lastWords = error as HostError
      socket.destroy()
    }
    return answers
  }

  #take(answer: Answer): void {
    switch (answer.type) {
      case 'receipt':
        this.#runs.get(hex(answer.runId))?.receipt(answer.attestation)
        return
      case 'done':
      case 'report':
      case 'measured':
      case 'quote':
      case 'endorsement':
      case 'proof':
        this.#pending.get(answer.request)?.resolve(answer)
        return
      case 'error': {
        const error = heardError(answer.error)
        if (answer.request !== null) this.#pending.get(answer.request)?.reject(error)
        else if (answer.runId !== null) this.#runs.get(hex(answer.runId))?.fail(error)
        else this.#lastWords = error
        return
      }
      case 'hello':
        return
    }
  }

  async #request(make: (request: number) => Request, what: string, options: WaitOptions): Promise<Answer> {
    const request = this.#requests++
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    this.#pending.set(request, { resolve, reject })
    try {
      if (!this.send(make(request))) reject(this.#whyLost())
      return await within(promise, { ...options, what })
    } finally {
      this.#pending.delete(request)
    }
  }

  async #open(run: ClientRun, options: WaitOptions): Promise<void> {
    const opening = run.opening(this.host.akName)
    await this.#request((request) => ({ type: 'openRun', request, ...opening }), `an opened run ${run.id}`, options)
    run.opened()
  }

  #whyLost(): HostError {
    return this.#lastWords ?? new HostError('SIGNER_LOST', { message: 'The connection to the signer ended.' })
  }

  #lost(): void {
    const why = this.#whyLost()
    this.#socket = undefined
    for (const run of this.#runs.values()) run.disconnected()
    for (const pending of this.#pending.values()) pending.reject(why)
    if (this.#runs.size > 0) this.#connected().catch(() => undefined)
  }

  /** There is a connection when this resolves. */
  async #connected(options: WaitOptions = {}): Promise<void> {
    this.#closing.signal.throwIfAborted()
    if (this.#socket !== undefined) return
    this.#reconnecting ??= this.#reconnect(this.#whyLost()).finally(() => (this.#reconnecting = undefined))
    await within(this.#reconnecting, { ...options, what: 'a connection to the signer' })
  }

  async #reconnect(why: HostError): Promise<void> {
    this.#options.onTrouble?.(`${why.message} Starting the signer again.`)
    const { signal } = this.#closing
    const deadline = performance.now() + RECOVER_MS
    for (let backoffMs = BACKOFF_MIN_MS; ; backoffMs = Math.min(2 * backoffMs, BACKOFF_MAX_MS)) {
      try {
        await this.#greetAgain(signal)
        this.#options.onTrouble?.('The signer is back.')
        return
      } catch (error) {
        const passing = error instanceof HostError && PASSING.has(error.code)
        if (!passing || performance.now() + backoffMs > deadline) {
          this.#giveUp(error)
          throw error
        }
        this.#options.onTrouble?.(`${error.message} Trying again in ${backoffMs} ms.`)
        await pause(backoffMs, signal)
      }
    }
  }

  async #greetAgain(signal: AbortSignal): Promise<void> {
    const { socket, host } = await greet(this.#options, signal)
    if (!equal(host.hostId, this.host.hostId)) {
      socket.destroy()
      throw new HostError('HOST_CHANGED', {
        message: `The signer came back as host ${hex(host.hostId)}, it was ${hex(this.host.hostId)}.`,
        hint: 'The host was given a new identity. Run again.',
      })
    }
    this.#use(socket)
    await Promise.all([...this.#runs.values()].map((run) => this.#reopen(run)))
    if (this.#socket === undefined) throw this.#whyLost()
  }

  async #reopen(run: ClientRun): Promise<void> {
    try {
      await this.#open(run, {})
    } catch (error) {
      // When the connection went again, the next one opens the run.
      if (error instanceof HostError && this.#socket !== undefined) run.fail(error)
    }
  }

  #giveUp(error: unknown): void {
    const known = error instanceof HostError && !PASSING.has(error.code)
    const why = error instanceof Error ? error.message : String(error)
    const failure = known
      ? error
      : new HostError('SIGNER_LOST', { message: `The signer did not come back: ${why}`, cause: error })
    for (const run of this.#runs.values()) run.fail(failure)
  }
}

/**
 * Makes sure that a host has an identity, as `connectSigner` does too.
 *
 * @param options.renew - Gives it a new one. What was signed before stays valid and belongs to the old one.
 * @throws {@link HostError} as `connectSigner`; `BUSY` when a new one is asked for while runs are open.
 */
export async function initHost(options: ConnectOptions & { readonly renew?: boolean }): Promise<Signer> {
  if (options.renew === true) {
    await stopSigner(options)
    await retireIdentity(options, options.signal)
  }
  return connectSigner(options)
}

/** Ends the signer if there is one; one that cannot open its TPM leaves by itself. */
async function stopSigner(options: ConnectOptions): Promise<void> {
  const { socket: path } = prepareHome(options.home)
  const socket = await tryConnect(path, options.signal)
  if (socket === undefined) return
  const greeted = await greetOn(socket, options.signal).catch(() => undefined)
  if (greeted === undefined) return
  await using signer = new SignerClient(options, socket, greeted)
  await signer.stop()
}
