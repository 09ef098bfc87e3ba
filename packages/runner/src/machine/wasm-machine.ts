/**
 * The wasm engine behind the engine contract: a thread that runs the guest, a thread that hashes,
 * and this, which commands both.
 */
import { MessageChannel, type MessagePort, type Worker } from 'node:worker_threads'
import {
  assert,
  hex,
  type Computation,
  type Machine,
  type MachineResults,
  type MachineState,
  type Measurement,
  type SnapshotManifest,
  type SnapshotRef,
  type Stop,
  type WarmStart,
} from '@reprise/core'
import {
  dirtyPagesChoice,
  startScanner,
  WHILE_SMALL,
  type DirtyPagesChoice,
  type DirtyPagesMethod,
  type Scanner,
} from '../dirty-pages/index.ts'
import { moduleCache } from '../home.ts'
import { RunnerError } from '../error.ts'
import {
  CONTROL_CAPTURE_US,
  CONTROL_COMMANDS,
  CONTROL_INTERRUPT,
  CONTROL_MEMORY,
  CONTROL_POSITION,
  CONTROL_STALL_US,
  CONTROL_STREAM_BYTES,
  type BeginRequest,
  type Command,
  type EngineMessage,
  type EngineData,
  type HashResult,
} from './protocol.ts'
import { engineThread } from './engine-thread.ts'
import { threadFailure } from './failure.ts'
import { Hasher, type HasherOptions } from './hasher.ts'
import { loadWarmStart, makeWarmStart, warmStack } from './warm/index.ts'

const WASM_PAGE_BYTES = 65536
export interface MachineOptions {
  readonly computation: Computation
  /** Paths of the computation's blobs by SHA-256. */
  readonly blobs: Readonly<Record<string, string>>
  /** Where rewritten modules are kept, and the store that snapshots go to. */
  readonly home: string
  /** The snapshot to begin with; its blobs are among `blobs`. */
  readonly from?: SnapshotManifest | undefined
  /** False when those that are taken are only to be compared: nothing of them is written. */
  readonly keepsSnapshots?: boolean
  readonly onStream?: (stream: 'stdout' | 'stderr', bytes: Uint8Array) => Promise<void> | void
  /** `kernel` fails where the kernel cannot be asked; the default is what the environment says, else `auto`. */
  readonly dirtyPages?: DirtyPagesChoice
}

export interface WasmMachine extends Machine {
  readonly memoryBytesAtStart: number
  readonly rewrite: { readonly cached: boolean; readonly elapsedMs: number }
  /** Where the running machine is, refreshed every few tens of milliseconds, and how long it stood to be measured. */
  progress(): MachineProgress
}

export interface MachineProgress {
  readonly position: bigint
  readonly memoryBytes: number
  readonly measureMs: number
  readonly captureMs: number
  readonly dirtyPages: DirtyPagesMethod
}

/**
 * Prepares the machine of a computation; it stands before its first instruction.
 *
 * @throws {@link RunnerError} `ENGINE_REFUSED` when the module cannot be run here, with what to do; `WARM_START` when the
 *   program does not come to the warm start of the computation.
 */
export async function startWasmMachine(options: MachineOptions): Promise<WasmMachine> {
  const machine = await tryToStart(options)
  if (machine !== undefined) return machine
  const { computation, blobs, home } = options
  assert(computation.start !== undefined, 'only what begins warm can find that damaged')
  await makeWarmStart({ computation: { ...computation, start: computation.start }, blobs, home })
  const again = await tryToStart(options)
  if (again === undefined) throw failed('a warm start changed while it was loaded')
  return again
}

/** @returns Undefined when the warm start that is kept is damaged. */
async function tryToStart(options: MachineOptions): Promise<WasmMachine | undefined> {
  const { computation, dirtyPages = dirtyPagesChoice() } = options
  const { worker: engine, control } = engineThread()
  const shadow = new SharedArrayBuffer(0, { maxByteLength: computation.limits.memoryPages * WASM_PAGE_BYTES })
  const { port1: enginePort, port2: hashPort } = new MessageChannel()
  const home = options.keepsSnapshots === false ? undefined : options.home
  const threads = new Threads({ engine, hash: { control, home, shadow, enginePort }, onStream: options.onStream })
  const data: EngineData = {
    computation,
    blobs: options.blobs,
    cacheFolder: moduleCache(options.home),
    shadow,
    hashPort,
    from: options.from,
    dirtyPages,
  }
  threads.tell({ kind: 'machine', data }, [hashPort])
  try {
    // Where it must not be missing it is there before the first checkpoint.
    const scanner = dirtyPages === 'kernel' ? threads.startScanner() : undefined
    const ready = threads.expect('ready')
    // Whoever fails first is heard below.
    ready.catch(() => {})
    const { start } = computation
    if (start !== undefined && options.from === undefined) {
      const isWhole = await beginWarm(threads, { ...options, computation: { ...computation, start }, shadow })
      if (!isWhole) {
        await threads.terminate()
        return undefined
      }
    }
    const heard = await ready
    await scanner
    return machineOf({ threads, control, shadow, ready: heard })
  } catch (error) {
    await threads.terminate()
    throw error
  }
}

/**
 * Puts the memory of the warm start where both threads find it, and hashes it while the guest gets it: so a machine
 * begins with the state that the computation seals, or not at all.
 *
 * @returns False when it is not the memory that it is kept as.
 */
async function beginWarm(
  threads: Threads,
  {
    computation,
    blobs,
    home,
    shadow,
  }: Omit<MachineOptions, 'computation'> & {
    readonly computation: Computation & { readonly start: WarmStart }
    readonly shadow: SharedArrayBuffer
  },
): Promise<boolean> {
  const entry = await loadWarmStart({ computation, blobs, home })
  const { snapshotRoot, memoryBytes, memoryRoot, pages } = entry.head
  if (snapshotRoot !== computation.start.snapshotRoot)
    throw notTheWarmStart(computation.start.snapshotRoot, snapshotRoot)
  if (shadow.byteLength < memoryBytes) shadow.grow(memoryBytes)
  await entry.unpack(new Uint8Array(shadow))
  threads.tell({ kind: 'warm', stack: warmStack(entry), memoryBytes })
  return hex(threads.begin({ memoryBytes, pages })) === memoryRoot
}

export function notTheWarmStart(sealed: string, actual: string): RunnerError {
  return new RunnerError('WARM_START', {
    message: `the program comes to another warm start (${actual}) than the computation seals (${sealed})`,
    hint: 'the record was made up, or made by a version that differs; nothing that follows from it can be repeated',
    data: { sealed, actual },
  })
}

type Answer<Kind extends EngineMessage['kind']> = Extract<EngineMessage, { kind: Kind }>
interface Waiting<Value> {
  readonly resolve: (value: Value) => void
  readonly reject: (error: Error) => void
}

/** The two threads as the main thread reaches them: one question at a time, and one failure for all. */
class Threads {
  readonly #engine: Worker
  readonly #hasher: Hasher
  readonly #flags: Int32Array
  readonly #onStream: MachineOptions['onStream']
  readonly #measurements: Waiting<Measurement>[] = []
  readonly #snapshots: Waiting<SnapshotRef>[] = []
  #waiting: (Waiting<EngineMessage> & { readonly kind: EngineMessage['kind'] }) | undefined
  #failure: Error | undefined
  #streaming: Promise<void> = Promise.resolve()
  #scanner: Scanner | undefined
  #terminated: Promise<void> | undefined
  #dirtyPages: DirtyPagesMethod = WHILE_SMALL

  constructor(options: {
    readonly engine: Worker
    readonly hash: Omit<HasherOptions, 'onResult' | 'onFailure'>
    readonly onStream: MachineOptions['onStream']
  }) {
    this.#engine = options.engine
    this.#flags = new Int32Array(options.hash.control)
    this.#onStream = options.onStream
    this.#engine.on('message', (message: EngineMessage) => this.#heard(message))
    const onFailure = (message: string, cause?: unknown): void => this.#fail(failed(message, cause))
    this.#engine.on('error', (cause) => onFailure(`a machine thread failed: ${(cause as Error).message}`, cause))
    this.#engine.on('exit', (code) => onFailure(`a machine thread ended by itself (code ${code})`))
    this.#hasher = new Hasher({ ...options.hash, onResult: (result) => this.#hashed(result), onFailure })
  }

  /** What the guest wrote so far has been shown. */
  get streamed(): Promise<void> {
    return this.#streaming
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

  /** What a warm start begins with is hashed. @returns The root of the memory. */
  begin(request: BeginRequest): Uint8Array {
    return this.#hasher.begin(request)
  }

  tell(command: Extract<Command, { kind: 'machine' | 'warm' }>, transfer: readonly MessagePort[] = []): void {
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
    this.#engine.removeAllListeners('exit')
    await Promise.all([this.#engine.terminate(), this.#hasher.terminate()])
  }

  #command(command: Command, transfer: readonly MessagePort[] = []): void {
    this.#engine.postMessage(command, [...transfer])
    Atomics.add(this.#flags, CONTROL_COMMANDS, 1)
    Atomics.notify(this.#flags, CONTROL_COMMANDS)
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
  }
}

interface MachineParts {
  readonly threads: Threads
  readonly control: SharedArrayBuffer
  readonly shadow: SharedArrayBuffer
  readonly ready: Answer<'ready'>
}

function machineOf({ threads, control, shadow, ready }: MachineParts): WasmMachine {
  const flags = new Int32Array(control)
  const counters = new BigInt64Array(control)
  return {
    memoryBytesAtStart: ready.memoryBytes,
    rewrite: ready.rewrite,
    async runTo(position): Promise<Stop> {
      const { stop } = await threads.run(position)
      await threads.streamed
      return stop
    },
    measure: () => threads.measure(),
    snapshot: () => threads.snapshot(),
    async state(): Promise<MachineState> {
      const { memoryBytes, engineState } = await threads.ask({ kind: 'state' }, 'state')
      return { memory: new Uint8Array(shadow, 0, memoryBytes), engineState }
    },
    results: async (): Promise<MachineResults> => (await threads.ask({ kind: 'results' }, 'results')).results,
    interrupt(): void {
      Atomics.store(flags, CONTROL_INTERRUPT, 1)
    },
    progress: () => ({
      position: Atomics.load(counters, CONTROL_POSITION),
      memoryBytes: Number(Atomics.load(counters, CONTROL_MEMORY)),
      measureMs: Number(Atomics.load(counters, CONTROL_STALL_US)) / 1000,
      captureMs: Number(Atomics.load(counters, CONTROL_CAPTURE_US)) / 1000,
      dirtyPages: threads.dirtyPages,
    }),
    [Symbol.asyncDispose]: () => threads.terminate(),
  }
}

export function failed(message: string, cause?: unknown): RunnerError {
  return new RunnerError('ENGINE_FAILED', { message, ...(cause !== undefined && { cause }) })
}
