/**
 * Who hashes the shadow. At first the main thread does, which has little else to do then: to start a thread for it takes
 * longer than a short run does. A run that lasts, one that goes on, a large memory and a snapshot are for a thread of their
 * own, which takes over by hashing all of the shadow once more.
 */
import { Worker, type MessagePort } from 'node:worker_threads'
import { PAGE_BYTES } from '@reprise/core'
import { HashedMemory, releaseShadow } from './hashed-memory.ts'
import {
  CONTROL_HASHING,
  type BeginRequest,
  type HashRequest,
  type HashResult,
  type HashWorkerData,
  type TakeOver,
} from './protocol.ts'
import { workerUrl } from './worker-url.ts'

/** A run that takes longer has a thread for it. */
const SHORT_MS = 500
/** What is hashed here: some tens of milliseconds. */
const PAGES_MAX = (32 << 20) / PAGE_BYTES

export interface HasherOptions extends HashWorkerData {
  readonly enginePort: MessagePort
  readonly onResult: (result: HashResult) => void
  /** Of the thread, which cannot go on then. */
  readonly onFailure: (message: string, cause?: unknown) => void
}

export class Hasher {
  readonly #options: HasherOptions
  readonly #flags: Int32Array
  readonly #hashed: HashedMemory
  #thread: Worker | undefined
  #isHandedOver = false
  /** Pages that were hashed here for the measurement that comes. */
  #hashedPages = 0
  #timer: NodeJS.Timeout | undefined

  constructor(options: HasherOptions) {
    this.#options = options
    this.#flags = new Int32Array(options.control)
    this.#hashed = new HashedMemory(options.shadow)
    options.enginePort.on('message', (request: HashRequest) => this.#answer(request))
  }

  /** What a warm start begins with; the engine thread waits for the answer. @returns The root of the memory. */
  begin(request: BeginRequest): Uint8Array {
    return this.#hashed.begin(request)
  }

  /** A memory is being restored: it is hashed when the machine goes on already, by a thread that is there by then. */
  restores(): void {
    this.#makeThread()
  }

  /** The machine runs: from now on a thread pays soon. */
  lasts(): void {
    this.#timer ??= setTimeout(() => this.#startThread(), SHORT_MS)
  }

  /** Nothing of it is heard any more. */
  async terminate(): Promise<void> {
    clearTimeout(this.#timer)
    this.#isHandedOver = true
    this.#options.enginePort.close()
    this.#thread?.removeAllListeners('exit')
    await this.#thread?.terminate()
  }

  #answer(request: HashRequest): void {
    // Whoever hashes a restored memory here lets the machine wait that is to go on meanwhile.
    if (request.kind === 'restored' || request.kind === 'snapshot') return this.#handOver(request)
    this.#hashedPages += request.pages.length
    if (this.#hashedPages > PAGES_MAX) return this.#handOver(request)
    const { onResult, onFailure } = this.#options
    try {
      if (request.kind === 'changed') return this.#hashed.changed(request)
      this.#hashedPages = 0
      const result = this.#hashed.measure(request)
      releaseShadow(this.#flags)
      onResult(result)
    } catch (error) {
      onFailure(`a machine cannot be hashed: ${(error as Error).message}`, error)
    }
  }

  /** Once the thread is there and the shadow at rest: the machine is to wait for neither. */
  #startThread(): void {
    const tryToHandOver = (): void => {
      if (this.#isHandedOver) return
      if (Atomics.compareExchange(this.#flags, CONTROL_HASHING, 0, 1) === 0) this.#handOver(undefined)
      // A request is on its way to this thread.
      else this.#timer = setTimeout(tryToHandOver, 1)
    }
    if (this.#thread === undefined) this.#makeThread().once('online', tryToHandOver)
  }

  /** The shadow is held, by this thread or by the request that goes along. */
  #handOver(request: HashRequest | undefined): void {
    const { enginePort } = this.#options
    const { memoryBytes, lastState } = this.#hashed
    this.#isHandedOver = true
    enginePort.removeAllListeners('message')
    // A machine that was restored brings along what to hash.
    const begun =
      request?.kind === 'restored' ? undefined : { memoryBytes, pages: [[0, memoryBytes / PAGE_BYTES]] as const }
    const message: TakeOver = { begun, lastState, enginePort, request }
    this.#makeThread().postMessage(message, [enginePort])
  }

  #makeThread(): Worker {
    if (this.#thread !== undefined) return this.#thread
    const { control, home, shadow, onResult, onFailure } = this.#options
    const workerData: HashWorkerData = { control, home, shadow }
    const thread = new Worker(workerUrl('hash'), { workerData })
    this.#thread = thread
    thread.on('message', onResult)
    thread.on('error', (cause) => onFailure(`a machine thread failed: ${(cause as Error).message}`, cause))
    thread.on('exit', (code) => onFailure(`a machine thread ended by itself (code ${code})`))
    return thread
  }
}
