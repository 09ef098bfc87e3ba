/**
 * The signer at work: takes connections, opens runs, batches heads, and leaves when nobody needs it.
 *
 * It listens before its TPM is ready, so that who connects learns by a typed error why it never will be.
 */

import { chmodSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { type Count, type CounterStatement, hex, type OwnMeasurement, type Sha256 } from '@reprise/core'
import { HostError } from '../error.ts'
import type { HostReport } from '../identity/report.ts'
import { Batcher, type Quote } from './batcher.ts'
import { Connection } from './connection.ts'
import type { SignedBoot } from '../power/power.ts'
import {
  type Endorsement,
  type Enrolment,
  type HostFacts,
  type OpenRun,
  type Proof,
  sayError,
  type ToProve,
  type TpmClock,
} from './protocol.ts'

/** The TPM of a host, open, with its identity. */
export interface SigningHost {
  /** As they are now: certificates may come. */
  readonly facts: HostFacts
  /** Quotes PCRs 0 to 7 and these with the AK. */
  quote(qualifyingData: Uint8Array, pcrs?: readonly number[]): Promise<Quote>
  /** Extends what is new of it into the register of the own log. @returns The log, as its text. */
  measure(measured: readonly OwnMeasurement[]): Promise<string>
  nextBatchSeq(): Promise<bigint>
  clock(): Promise<TpmClock>
  /** What the TPM says of the power cycle that it is in. */
  boot(): Promise<SignedBoot>
  /** Certifies the host's counter for an attempt, after it has counted its begin. */
  count(count: Count): Promise<CounterStatement>
  report(): Promise<HostReport>
  endorsement(): Promise<Endorsement>
  prove(asked: ToProve): Promise<Proof>
  /** @throws {@link HostError} `CERTIFICATE` when they do not belong to this host. */
  keep(enrolment: Enrolment): Promise<void>
  /** A software TPM is shut down in order and stopped; a device is only closed. */
  close(): Promise<void>
}

export interface SignerServerOptions {
  readonly socketPath: string
  readonly sha256: Sha256
  readonly openHost: () => Promise<SigningHost>
  readonly batchesPerSecond: number | null
  /** How long it stays without a connection. */
  readonly idleMs: number
  readonly log: (line: string) => void
}

const CONNECTIONS_MAX = 64
export const RUNS_MAX = 256
/** Time for those who wait to hear why the TPM cannot be opened. */
const LAST_WORDS_MS = 500

export class SignerServer {
  /** Settles when the server has left and its TPM is closed. */
  readonly left: Promise<void>
  readonly #options: SignerServerOptions
  readonly #server: Server
  readonly #connections = new Set<Connection>()
  readonly #runs = new Map<string, { readonly connection: Connection; readonly taken: () => void }>()
  readonly #gone = Promise.withResolvers<void>()
  readonly #host: Promise<SigningHost>
  #batcher: Batcher | undefined
  #idle: NodeJS.Timeout | undefined
  #idleMs: number
  #leaving = false

  /** @param options.socketPath - Replaced when it is there: only the holder of the lock may start a server. */
  constructor(options: SignerServerOptions) {
    this.#options = options
    this.#idleMs = options.idleMs
    this.left = this.#gone.promise
    this.#server = createServer((socket) => this.#accept(socket))
    this.#server.on('error', (error) => this.leave(`cannot listen: ${error.message}`))
    rmSync(options.socketPath, { force: true })
    this.#server.listen(options.socketPath, () => chmodSync(options.socketPath, 0o600))
    this.#host = this.#openHost()
    this.#host.catch(() => undefined)
    this.#restIfAlone()
  }

  get runCount(): number {
    return this.#runs.size
  }

  /** @throws What the TPM could not be opened for. */
  get host(): Promise<SigningHost> {
    return this.#host
  }

  async #openHost(): Promise<SigningHost> {
    try {
      const host = await this.#options.openHost()
      this.#batcher = new Batcher({
        hostId: host.facts.hostId,
        sha256: this.#options.sha256,
        quote: (qualifyingData, pcrs) => host.quote(qualifyingData, pcrs),
        boot: () => host.boot(),
        count: (count) => host.count(count),
        nextBatchSeq: () => host.nextBatchSeq(),
        batchesPerSecond: this.#options.batchesPerSecond,
        onFailure: (error) => this.leave('the TPM failed', error),
      })
      this.#options.log(`ready: host ${hex(host.facts.hostId)}`)
      return host
    } catch (error) {
      this.#options.log(`no TPM: ${sayError(error).code} ${sayError(error).message}`)
      this.#idleMs = Math.min(this.#idleMs, LAST_WORDS_MS)
      this.#restIfAlone()
      throw error
    }
  }

  #accept(socket: Socket): void {
    if (this.#leaving) {
      socket.destroy()
      return
    }
    const connection = new Connection(socket, this)
    this.#connections.add(connection)
    clearTimeout(this.#idle)
    if (this.#connections.size > CONNECTIONS_MAX)
      connection.fail(new HostError('LIMIT', { message: `The signer takes ${CONNECTIONS_MAX} connections.` }))
  }

  forget(connection: Connection): void {
    this.#connections.delete(connection)
    this.#restIfAlone()
  }

  #restIfAlone(): void {
    clearTimeout(this.#idle)
    if (this.#connections.size === 0 && !this.#leaving) this.#idle = setTimeout(() => this.leave('idle'), this.#idleMs)
  }

  /** Registers a run; one that was open elsewhere is taken from there. Only after `host` is there. */
  openRun(run: OpenRun, connection: Connection, taken: () => void): Batcher {
    const id = hex(run.runId)
    this.#runs.get(id)?.taken()
    if (this.#runs.size >= RUNS_MAX)
      throw new HostError('LIMIT', { message: `The signer takes ${RUNS_MAX} open runs.` })
    this.#runs.set(id, { connection, taken })
    return this.#batcher as Batcher
  }

  closeRun(id: string, connection: Connection): void {
    if (this.#runs.get(id)?.connection === connection) this.#runs.delete(id)
  }

  /**
   * Takes no more connections, ends those that are there, closes the TPM.
   *
   * @param error - What the connections are told; without it they just end.
   */
  leave(why: string, error?: unknown): void {
    if (this.#leaving) return
    this.#leaving = true
    this.#options.log(`leaving: ${why}${error === undefined ? '' : `: ${sayError(error).message}`}`)
    clearTimeout(this.#idle)
    this.#batcher?.stop()
    this.#server.close()
    for (const connection of this.#connections) {
      if (error === undefined) connection.end()
      else connection.fail(error)
    }
    this.#host
      .then((host) => host.close())
      .catch((failure: unknown) => this.#options.log(`not closed in order: ${sayError(failure).message}`))
      .finally(() => this.#gone.resolve())
  }
}
