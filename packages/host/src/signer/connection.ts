/** One client of the signer: reads its requests, writes its answers, holds its runs. */

import type { Socket } from 'node:net'
import { attestDigest, hex, type OwnMeasurement } from '@reprise/core'
import { HostError } from '../error.ts'
import { sha256 } from '../hashing.ts'
import { isOlder } from '../power/known.ts'
import { type BatchedRun, rolledBack } from './batcher.ts'
import { LineReader, writeLine } from './lines.ts'
import {
  type Answer,
  decodeRequest,
  encodeMessage,
  type OpenRun,
  PROTOCOL_VERSION,
  type Request,
  REQUEST_BYTES_MAX,
  sayError,
} from './protocol.ts'
import type { SignerServer } from './server.ts'

/** Who connects says hello within this time. */
const HELLO_MS = 10_000

export class Connection {
  readonly #socket: Socket
  readonly #server: SignerServer
  readonly #runs = new Map<string, BatchedRun>()
  readonly #silence: NodeJS.Timeout
  #greeted = false

  constructor(socket: Socket, server: SignerServer) {
    this.#socket = socket
    this.#server = server
    const reader = new LineReader(REQUEST_BYTES_MAX)
    this.#silence = setTimeout(() => this.fail(new HostError('TIMEOUT', { message: 'No hello came.' })), HELLO_MS)
    socket.on('data', (chunk: Buffer) => {
      try {
        for (const value of reader.push(chunk)) this.#take(decodeRequest(value))
      } catch (error) {
        this.fail(error)
      }
    })
    socket.on('error', () => undefined)
    socket.on('close', () => this.#forgetAll())
  }

  /** Says why, then ends the connection. */
  fail(error: unknown): void {
    this.#say({ type: 'error', request: null, runId: null, error: sayError(error) })
    this.end()
  }

  end(): void {
    clearTimeout(this.#silence)
    this.#socket.removeAllListeners('data')
    this.#socket.resume()
    // A client that does not close its side must not keep the signer.
    this.#socket.destroySoon()
  }

  #say(answer: Answer): void {
    writeLine(this.#socket, encodeMessage(answer))
  }

  #forgetAll(): void {
    clearTimeout(this.#silence)
    for (const id of this.#runs.keys()) this.#closeRun(id)
    this.#server.forget(this)
  }

  #take(request: Request): void {
    if (request.type === 'hello') {
      this.#hello(request.version)
      return
    }
    if (!this.#greeted) throw new HostError('PROTOCOL', { message: `${request.type} before hello` })
    switch (request.type) {
      case 'openRun':
        this.#answer(request.request, this.#openRun(request, request.request))
        return
      case 'head':
        // A run that was refused meanwhile has no entry; its client hears of it, or has heard.
        this.#runs.get(hex(request.runId))?.submit(request, request.urgent)
        return
      case 'closeRun':
        this.#closeRun(hex(request.runId))
        return
      case 'show':
        this.#answer(request.request, this.#show(request.request))
        return
      case 'measure':
        this.#answer(request.request, this.#measure(request.request, request.measured))
        return
      case 'attest':
        this.#answer(request.request, this.#attest(request))
        return
      case 'endorsement':
      case 'prove':
      case 'keep':
        this.#answer(request.request, this.#enrol(request))
        return
      case 'stop':
        this.#answer(request.request, this.#stop(request.request))
    }
  }

  #hello(version: number): void {
    clearTimeout(this.#silence)
    if (version !== PROTOCOL_VERSION) {
      throw new HostError('PROTOCOL', {
        message: `The signer (process ${process.pid}) speaks version ${PROTOCOL_VERSION}, this program ${version}.`,
        hint: `Another version of Reprise started it. Let its runs end, then: kill ${process.pid}`,
      })
    }
    this.#server.host.then(
      ({ facts }) => {
        this.#greeted = true
        this.#say({ type: 'hello', version: PROTOCOL_VERSION, pid: process.pid, host: facts })
      },
      (error: unknown) => this.fail(error),
    )
  }

  /** Answers a request. A refusal is about the request alone; anything else means that the TPM is gone. */
  #answer(request: number, answering: Promise<Answer>): void {
    answering.then(
      (answer) => this.#say(answer),
      (error: unknown) => {
        if (error instanceof HostError) this.#say({ type: 'error', request, runId: null, error: sayError(error) })
        else this.#server.leave('the TPM failed', error)
      },
    )
  }

  async #openRun(run: OpenRun, request: number): Promise<Answer> {
    const host = await this.#server.host
    const clock = await host.clock()
    if (run.since !== null && isOlder(run.since, clock)) throw rolledBack(run.since, clock)
    if (this.#socket.destroyed) throw new HostError('SIGNER_LOST', { message: 'The client went away.' })

    const id = hex(run.runId)
    const { runId } = run
    const refuse = (error: HostError): void => {
      this.#closeRun(id)
      this.#say({ type: 'error', request: null, runId, error: sayError(error) })
    }
    const taken = (): void => refuse(new HostError('RUN_TAKEN', { message: `Run ${id} was opened by somebody else.` }))
    const batcher = this.#server.openRun(run, this, taken)
    const batched = batcher.open(run, {
      onReceipt: (attestation) => this.#say({ type: 'receipt', runId, attestation }),
      onRefused: refuse,
    })
    this.#runs.set(id, batched)
    return { type: 'done', request }
  }

  #closeRun(id: string): void {
    const run = this.#runs.get(id)
    if (run === undefined) return
    run.close()
    this.#runs.delete(id)
    this.#server.closeRun(id, this)
  }

  async #show(request: number): Promise<Answer> {
    const host = await this.#server.host
    return { type: 'report', request, report: await host.report() }
  }

  async #measure(request: number, measured: readonly OwnMeasurement[]): Promise<Answer> {
    const host = await this.#server.host
    return { type: 'measured', request, log: await host.measure(measured) }
  }

  async #attest({ request, nonce, pcrs }: Request & { readonly type: 'attest' }): Promise<Answer> {
    const host = await this.#server.host
    const quoted = await host.quote(attestDigest({ hostId: host.facts.hostId, nonce }, sha256), pcrs)
    const { attest, signature } = quoted
    return { type: 'quote', request, quote: { attest, signature, pcrs: quoted.pcrs } }
  }

  async #enrol(asked: Request & { readonly type: 'endorsement' | 'prove' | 'keep' }): Promise<Answer> {
    const host = await this.#server.host
    const { request } = asked
    if (asked.type === 'endorsement') return { type: 'endorsement', request, ...(await host.endorsement()) }
    if (asked.type === 'prove') return { type: 'proof', request, ...(await host.prove(asked)) }
    await host.keep(asked)
    return { type: 'done', request }
  }

  async #stop(request: number): Promise<Answer> {
    const { runCount } = this.#server
    if (runCount > 0)
      throw new HostError('BUSY', {
        message: `The signer has ${runCount} open runs.`,
        hint: 'Wait until they have ended.',
      })
    setImmediate(() => this.#server.leave('asked to'))
    return { type: 'done', request }
  }
}
