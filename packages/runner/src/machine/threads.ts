/** The threads of a machine as the main thread commands them, see wasm-machine.ts. */
import type { MessagePort } from 'node:worker_threads'
import { hex, type Measurement, type SnapshotRef } from '@reprise/core'
import { startScanner, WHILE_SMALL, type DirtyPagesMethod, type Scanner } from '../dirty-pages/index.ts'
import { RunnerError } from '../error.ts'
import { sendCommand, type EngineThread } from './engine-thread.ts'
import { threadFailure } from './failure.ts'
import { Hasher, type HasherOptions } from './hasher.ts'
import {
  CONTROL_STREAM_BYTES,
  type BeginRequest,
  type Command,
  type EngineMessage,
  type HashResult,
  type RestoredResult,
} from './protocol.ts'
import { checkPacks, fillShadow, notTheSavedMachine, type Packs, type Restored, type SavedMachine } from './restore.ts'

export type OnStream = (stream: 'stdout' | 'stderr', bytes: Uint8Array) => Promise<void> | void

export type Answer<Kind extends EngineMessage['kind']> = Extract<EngineMessage, { kind: Kind }>
interface Waiting<Value> {
  readonly resolve: (value: Value) => void
  readonly reject: (error: Error) => void
}

/** The two threads as the main thread reaches them: one question at a time, and one failure for all. */
export class Threads {
  readonly #engine: EngineThread
  readonly #hasher: Hasher
  readonly #flags: Int32Array
  readonly #onStream: OnStream | undefined
  readonly #measurements: Waiting<Measurement>[] = []
  readonly #snapshots: Waiting<SnapshotRef>[] = []
  #waiting: (Waiting<EngineMessage> & { readonly kind: EngineMessage['kind'] }) | undefined
  #failure: Error | undefined
  #streaming: Promise<void> = Promise.resolve()
  #restored: Waiting<RestoredResult> | undefined
  /** What the machine goes on from is what was expected. */
  #checked: Promise<void> = Promise.resolve()
  #scanner: Scanner | undefined
  #terminated: Promise<void> | undefined
  #dirtyPages: DirtyPagesMethod = WHILE_SMALL

  constructor(options: {
    readonly engine: EngineThread
    readonly hash: Omit<HasherOptions, 'control' | 'onResult' | 'onFailure'>
    readonly onStream: OnStream | undefined
  }) {
    this.#engine = options.engine
    const { worker, control } = options.engine
    this.#flags = new Int32Array(control)
    this.#onStream = options.onStream
    worker.on('message', (message: EngineMessage) => this.#heard(message))
    const onFailure = (message: string, cause?: unknown): void => this.#fail(failed(message, cause))
    worker.on('error', (cause) => onFailure(`a machine thread failed: ${(cause as Error).message}`, cause))
    worker.on('exit', (code) => onFailure(`a machine thread ended by itself (code ${code})`))
    this.#hasher = new Hasher({ ...options.hash, control, onResult: (result) => this.#hashed(result), onFailure })
  }

  get dirtyPages(): DirtyPagesMethod {
    return this.#dirtyPages
  }

  /** Starts the process that asks the kernel, and tells the engine thread of it, or why there is none. */
  async startScanner(): Promise<void> {
    let scanner: number | string
    try {
      this.#scanner = await startScanner()
      scanner = this.#scanner.pid
    } catch (error) {
      scanner = (error as Error).message
    }
    if (this.#terminated !== undefined) this.#scanner?.stop()
    else this.#command({ kind: 'scanner', scanner })
  }

  expect<Kind extends EngineMessage['kind']>(kind: Kind): Promise<Answer<Kind>> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) reject(this.#failure)
      else this.#waiting = { kind, resolve: resolve as (value: EngineMessage) => void, reject }
    })
  }

  ask<Kind extends EngineMessage['kind']>(command: Command, kind: Kind): Promise<Answer<Kind>> {
    const answered = this.expect(kind)
    this.#command(command)
    return answered
  }

  measure(): Promise<Measurement> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) return reject(this.#failure)
      this.#measurements.push({ resolve, reject })
      this.#command({ kind: 'measure' })
    })
  }

  snapshot(): Promise<SnapshotRef> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) return reject(this.#failure)
      this.#snapshots.push({ resolve, reject })
      this.#command({ kind: 'snapshot' })
    })
  }

  /** What a warm start begins with. @returns The root of the memory. */
  begin(request: BeginRequest): Uint8Array {
    return this.#hasher.begin(request)
  }

  /** Fills the shadow and has it checked. @returns What came of it, when it is hashed. */
  restore(saved: SavedMachine, blobs: Packs['blobs'], shadow: SharedArrayBuffer): Promise<Restored> {
    const { manifest, expected } = saved
    const packs = { manifest, blobs }
    const hashed = new Promise<RestoredResult>((resolve, reject) => {
      this.#restored = { resolve, reject }
      if (manifest.memoryBytes > shadow.maxByteLength) throw notTheSavedMachine(expected)
      shadow.grow(manifest.memoryBytes)
      this.#hasher.restores()
      const memory = new Uint8Array(shadow)
      const filled = fillShadow(packs, memory, (ranges) => this.tell({ kind: 'filled', ranges, isLast: false }))
      filled.then(() => this.tell({ kind: 'filled', ranges: [], isLast: true })).catch(reject)
    })
    const restored = hashed.then(async ({ engineState, ...measurement }): Promise<Restored> => {
      const { position, stateRoot, outputsRoot } = measurement
      const isExpected =
        position.toString() === expected.position &&
        hex(stateRoot) === expected.state &&
        hex(outputsRoot) === expected.outputs
      if (!isExpected) await checkPacks(packs)
      return {
        measurement,
        state: { memory: new Uint8Array(shadow, 0, manifest.memoryBytes), engineState },
        isExpected,
      }
    })
    this.#checked = restored.then(({ isExpected }) => {
      if (!isExpected) throw notTheSavedMachine(expected)
    })
    this.#checked.catch((error: unknown) => this.#fail(error as Error))
    this.#streaming = this.#checked
    return restored
  }

  /** What the machine goes on from is what was expected, and what the guest wrote so far has been shown. */
  get settled(): Promise<void> {
    return this.#checked.then(() => this.#streaming)
  }

  tell(
    command: Extract<Command, { kind: 'machine' | 'warm' | 'filled' }>,
    transfer: readonly MessagePort[] = [],
  ): void {
    this.#command(command, transfer)
  }

  run(position: bigint): Promise<Answer<'stop'>> {
    this.#hasher.lasts()
    return this.ask({ kind: 'run', position }, 'stop')
  }

  /** May be asked for again. */
  terminate(): Promise<void> {
    return (this.#terminated ??= this.#terminate())
  }

  async #terminate(): Promise<void> {
    this.#scanner?.stop()
    this.#engine.worker.removeAllListeners('exit')
    await Promise.all([this.#engine.worker.terminate(), this.#hasher.terminate()])
  }

  #command(command: Command, transfer: readonly MessagePort[] = []): void {
    sendCommand(this.#engine, command, transfer)
  }

  #heard(message: EngineMessage): void {
    if (message.kind === 'stream') {
      this.#streaming = this.#streaming
        .then(() => this.#stream(message))
        .catch((error: unknown) => this.#fail(error as Error))
    } else if (message.kind === 'failed') {
      this.#fail(threadFailure(message.error))
    } else if (message.kind === 'dirty-pages') {
      this.#dirtyPages = message.method
    } else if (message.kind === 'scanner-wanted') {
      void this.startScanner()
    } else if (this.#waiting?.kind === message.kind) {
      const { resolve } = this.#waiting
      this.#waiting = undefined
      resolve(message)
    } else {
      this.#fail(failed(`the engine thread said «${message.kind}» unasked`))
    }
  }

  #hashed(result: HashResult): void {
    if (result.kind === 'measure') this.#measurements.shift()?.resolve(result)
    else if (result.kind === 'restored') this.#restored?.resolve(result)
    else if (result.kind === 'snapshot') this.#snapshots.shift()?.resolve(result.snapshot)
    else this.#fail(threadFailure(result.error))
  }

  async #stream({ stream, bytes }: Answer<'stream'>): Promise<void> {
    await this.#onStream?.(stream, bytes)
    Atomics.sub(this.#flags, CONTROL_STREAM_BYTES, bytes.length)
    Atomics.notify(this.#flags, CONTROL_STREAM_BYTES)
  }

  #fail(error: Error): void {
    this.#failure ??= error
    this.#waiting?.reject(this.#failure)
    this.#waiting = undefined
    const waiting = [...this.#measurements.splice(0), ...this.#snapshots.splice(0)]
    for (const { reject } of waiting) reject(this.#failure)
    this.#restored?.reject(this.#failure)
  }
}

export function failed(message: string, cause?: unknown): RunnerError {
  return new RunnerError('ENGINE_FAILED', { message, ...(cause !== undefined && { cause }) })
}
