/**
 * The wasm engine behind the engine contract: a thread that runs the guest, a thread that hashes,
 * and this, which commands both.
 */
import { MessageChannel, Worker } from 'node:worker_threads'
import { setFlagsFromString } from 'node:v8'
import type { Computation, Machine, MachineResults, MachineState, Measurement, Stop } from '@reprise/core'
import { WORKER_STACK_MB } from '@reprise/wasm'
import { RunnerError } from '../error.ts'
import {
  CONTROL_BYTES,
  CONTROL_COMMANDS,
  CONTROL_INTERRUPT,
  CONTROL_MEMORY,
  CONTROL_POSITION,
  CONTROL_STALL_US,
  CONTROL_STREAM_BYTES,
  type Command,
  type EngineMessage,
  type EngineWorkerData,
  type HashResult,
  type HashWorkerData,
  type SerializedError,
} from './protocol.ts'

const WASM_PAGE_BYTES = 65536
/** Below this, V8's optimising compiler is quicker than its baseline tier is slow: wasm has no on-stack replacement. */
const OPTIMISE_AT_ONCE_BYTES = 1 << 20

export interface MachineOptions {
  readonly computation: Computation
  /** Paths of the computation's blobs by SHA-256. */
  readonly blobs: Readonly<Record<string, string>>
  readonly cacheFolder: string
  readonly onStream?: (stream: 'stdout' | 'stderr', bytes: Uint8Array) => Promise<void> | void
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
}

function workerUrl(name: string): URL {
  return new URL(import.meta.url.endsWith('.ts') ? `./${name}.worker.ts` : `./${name}.worker.js`, import.meta.url)
}

/**
 * Prepares the machine of a computation; it stands before its first instruction.
 *
 * @throws {@link RunnerError} `ENGINE_REFUSED` when the module cannot be run here, with what to do.
 */
export async function startWasmMachine(options: MachineOptions): Promise<WasmMachine> {
  const { computation } = options
  setFlagsFromString(computation.program.lengthBytes < OPTIMISE_AT_ONCE_BYTES ? '--no-liftoff' : '--liftoff')
  const control = new SharedArrayBuffer(CONTROL_BYTES)
  const shadow = new SharedArrayBuffer(0, { maxByteLength: computation.limits.memoryPages * WASM_PAGE_BYTES })
  const { port1: enginePort, port2: hashPort } = new MessageChannel()
  const engineData: EngineWorkerData = {
    computation,
    blobs: options.blobs,
    cacheFolder: options.cacheFolder,
    control,
    shadow,
    hashPort,
  }
  const hashData: HashWorkerData = { control, shadow, enginePort }
  const hasher = new Worker(workerUrl('hash'), { workerData: hashData, transferList: [enginePort] })
  const engine = new Worker(workerUrl('engine'), {
    workerData: engineData,
    transferList: [hashPort],
    resourceLimits: { stackSizeMb: WORKER_STACK_MB },
  })
  return await connect({ engine, hasher, control, onStream: options.onStream })
}

interface Threads {
  readonly engine: Worker
  readonly hasher: Worker
  readonly control: SharedArrayBuffer
  readonly onStream: MachineOptions['onStream']
}

type Answer<Kind extends EngineMessage['kind']> = Extract<EngineMessage, { kind: Kind }>
type Waiting<Value> = { readonly resolve: (value: Value) => void; readonly reject: (error: unknown) => void }

async function connect({ engine, hasher, control, onStream }: Threads): Promise<WasmMachine> {
  const flags = new Int32Array(control)
  const counters = new BigInt64Array(control)
  const measurements: Waiting<Measurement>[] = []
  let waiting: (Waiting<EngineMessage> & { readonly kind: EngineMessage['kind'] }) | undefined
  let failure: unknown
  let streaming = Promise.resolve()

  const fail = (error: unknown): void => {
    failure ??= error
    waiting?.reject(failure)
    waiting = undefined
    for (const { reject } of measurements.splice(0)) reject(failure)
  }
  const expectMessage = <Kind extends EngineMessage['kind']>(kind: Kind): Promise<Answer<Kind>> =>
    new Promise((resolve, reject) => {
      if (failure !== undefined) reject(failure)
      else waiting = { kind, resolve: resolve as (value: EngineMessage) => void, reject }
    })
  const command = (message: Command): void => {
    engine.postMessage(message)
    Atomics.add(flags, CONTROL_COMMANDS, 1)
    Atomics.notify(flags, CONTROL_COMMANDS)
  }
  const stream = async (message: Answer<'stream'>): Promise<void> => {
    await onStream?.(message.stream, message.bytes)
    Atomics.sub(flags, CONTROL_STREAM_BYTES, message.bytes.length)
    Atomics.notify(flags, CONTROL_STREAM_BYTES)
  }

  engine.on('message', (message: EngineMessage) => {
    if (message.kind === 'stream') {
      streaming = streaming.then(() => stream(message)).catch(fail)
    } else if (message.kind === 'failed') {
      fail(engineFailure(message.error))
    } else if (waiting?.kind === message.kind) {
      const { resolve } = waiting
      waiting = undefined
      resolve(message)
    } else {
      fail(new RunnerError('ENGINE_FAILED', { message: `the engine thread said «${message.kind}» unasked` }))
    }
  })
  hasher.on('message', ({ position, stateRoot, outputsRoot }: HashResult) =>
    measurements.shift()?.resolve({ position, stateRoot, outputsRoot }),
  )
  for (const worker of [engine, hasher]) {
    worker.on('error', (error) => fail(threadFailure(error)))
    worker.on('exit', (code) =>
      fail(new RunnerError('ENGINE_FAILED', { message: `a machine thread ended by itself (code ${code})` })),
    )
  }

  const ready = await expectMessage('ready').catch(async (error: unknown) => {
    await Promise.all([engine.terminate(), hasher.terminate()])
    throw error
  })
  return {
    memoryBytesAtStart: ready.memoryBytes,
    rewrite: ready.rewrite,
    async runTo(position): Promise<Stop> {
      const stopped = expectMessage('stop')
      command({ kind: 'run', position })
      const { stop } = await stopped
      // What the guest wrote before the stop has been shown when the stop is.
      await streaming
      return stop
    },
    measure(): Promise<Measurement> {
      return new Promise((resolve, reject) => {
        if (failure !== undefined) return reject(failure)
        measurements.push({ resolve, reject })
        command({ kind: 'measure' })
      })
    },
    async state(): Promise<MachineState> {
      const answered = expectMessage('state')
      command({ kind: 'state' })
      const { memory, engineState } = await answered
      return { memory, engineState }
    },
    async results(): Promise<MachineResults> {
      const answered = expectMessage('results')
      command({ kind: 'results' })
      return (await answered).results
    },
    interrupt(): void {
      Atomics.store(flags, CONTROL_INTERRUPT, 1)
    },
    progress: () => ({
      position: Atomics.load(counters, CONTROL_POSITION),
      memoryBytes: Number(Atomics.load(counters, CONTROL_MEMORY)),
      measureMs: Number(Atomics.load(counters, CONTROL_STALL_US)) / 1000,
    }),
    async [Symbol.asyncDispose](): Promise<void> {
      engine.removeAllListeners('exit')
      hasher.removeAllListeners('exit')
      await Promise.all([engine.terminate(), hasher.terminate()])
    },
  }
}

function engineFailure(error: SerializedError): RunnerError {
  const hint = error.hint === undefined ? {} : { hint: error.hint }
  const refused = error.code !== undefined
  return new RunnerError(refused ? 'ENGINE_REFUSED' : 'ENGINE_FAILED', {
    message: error.message,
    ...hint,
    data: { code: error.code, name: error.name },
  })
}

function threadFailure(cause: unknown): RunnerError {
  return new RunnerError('ENGINE_FAILED', { message: `a machine thread failed: ${(cause as Error).message}`, cause })
}
