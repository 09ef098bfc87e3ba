/**
 * A machine to be looked at: it stops where it is told, says what all of it is, and can be put back to where it was kept.
 * Slower at its stops than the machine of a run, and as fast between them. Nothing of it touches the disk.
 */
import { Worker } from 'node:worker_threads'
import { hex, pagesRoot, type Computation, type SnapshotManifest } from '@reprise/core'
import { WORKER_STACK_MB } from '@reprise/wasm'
import { nodeCrypto } from '../crypto.ts'
import { moduleCache } from '../home.ts'
import { threadFailure } from './failure.ts'
import {
  PROBE_BYTES,
  PROBE_COMMANDS,
  PROBE_INTERRUPT,
  PROBE_POSITION,
  type CallLog,
  type Look,
  type Mark,
  type ProbeCommand,
  type ProbeData,
  type ProbeMeasurement,
  type ProbeMessage,
  type ProbeStop,
  type ProbeTarget,
} from './probe-protocol.ts'
import { loadWarmStart, makeWarmStart, warmStack, type WarmEntry } from './warm/index.ts'
import { failed } from './threads.ts'
import { notTheWarmStart } from './wasm-machine.ts'
import { workerUrl } from './worker-url.ts'

export interface ProbeOptions {
  readonly computation: Computation
  /** Paths of the computation's blobs, and of the snapshot's, by SHA-256. */
  readonly blobs: Readonly<Record<string, string>>
  /** Where rewritten modules are kept. */
  readonly home: string
  readonly from?: SnapshotManifest | undefined
}

/** One question at a time. */
export interface Probe extends AsyncDisposable {
  /** Where it began. */
  readonly start: bigint
  run(target: ProbeTarget): Promise<ProbeStop>
  /** Not at a requested checkpoint. */
  mark(): Promise<Mark>
  /** What was marked last is what {@link back} leads to; at first that is the start. */
  keep(): Promise<void>
  back(): Promise<void>
  /** Of the last stretch. */
  calls(): Promise<CallLog>
  look(): Promise<Look>
  measure(): Promise<ProbeMeasurement>
  interrupt(): void
  /** Where it is, every few tens of milliseconds. */
  position(): bigint
}

/** @throws RunnerError `ENGINE_REFUSED`, `ENGINE_FAILED`, as `startWasmMachine` does. */
export async function startProbe(options: ProbeOptions): Promise<Probe> {
  const control = new SharedArrayBuffer(PROBE_BYTES)
  const workerData: ProbeData = {
    computation: options.computation,
    blobs: options.blobs,
    cacheFolder: moduleCache(options.home),
    control,
    from: options.from,
    warm: options.from === undefined ? await warmStart(options) : undefined,
  }
  const resourceLimits = { stackSizeMb: WORKER_STACK_MB }
  const thread = new ProbeThread(new Worker(workerUrl('probe'), { workerData, resourceLimits }), control)
  try {
    const { stop } = await thread.expect('stop')
    return probeOf(thread, stop.position)
  } catch (error) {
    await thread.terminate()
    throw error
  }
}

async function warmStart({ computation, blobs, home }: ProbeOptions): Promise<ProbeData['warm']> {
  const { start } = computation
  if (start === undefined) return undefined
  const request = { computation: { ...computation, start }, blobs, home }
  let entry = await loadWarmStart(request)
  let memory = await memoryOf(entry)
  // Damaged in the cache.
  if (memory === undefined) memory = await memoryOf((entry = await makeWarmStart(request)))
  if (memory === undefined) throw failed('a warm start changed while it was loaded')
  const { snapshotRoot } = entry.head
  if (snapshotRoot !== start.snapshotRoot) throw notTheWarmStart(start.snapshotRoot, snapshotRoot)
  return { stack: warmStack(entry), memory }
}

/** Undefined when it is not the one of the head. */
async function memoryOf(entry: WarmEntry): Promise<Uint8Array | undefined> {
  const memory = new Uint8Array(entry.head.memoryBytes)
  await entry.unpack(memory)
  return hex(pagesRoot(memory, nodeCrypto.sha256)) === entry.head.memoryRoot ? memory : undefined
}

function probeOf(thread: ProbeThread, start: bigint): Probe {
  return {
    start,
    run: async (target) => (await thread.ask({ kind: 'run', ...target }, 'stop')).stop,
    mark: async () => (await thread.ask({ kind: 'mark' }, 'mark')).mark,
    keep: async () => void (await thread.ask({ kind: 'keep' }, 'kept')),
    back: async () => void (await thread.ask({ kind: 'back' }, 'stop')),
    calls: async () => (await thread.ask({ kind: 'calls' }, 'calls')).calls,
    look: async () => (await thread.ask({ kind: 'look' }, 'look')).look,
    measure: async () => (await thread.ask({ kind: 'measure' }, 'measure')).measurement,
    interrupt: () => thread.interrupt(),
    position: () => thread.position(),
    [Symbol.asyncDispose]: () => thread.terminate(),
  }
}

type Answer<Kind extends ProbeMessage['kind']> = Extract<ProbeMessage, { kind: Kind }>

class ProbeThread {
  readonly #worker: Worker
  readonly #flags: Int32Array
  readonly #counters: BigInt64Array
  #waiting: { resolve: (message: ProbeMessage) => void; reject: (error: Error) => void } | undefined
  #failure: Error | undefined

  constructor(worker: Worker, control: SharedArrayBuffer) {
    this.#worker = worker
    this.#flags = new Int32Array(control)
    this.#counters = new BigInt64Array(control)
    worker.on('message', (message: ProbeMessage) => this.#heard(message))
    worker.on('error', (cause) => this.#fail(failed(`a probe failed: ${(cause as Error).message}`, cause)))
    worker.on('exit', (code) => this.#fail(failed(`a probe ended by itself (code ${code})`)))
  }

  expect<Kind extends ProbeMessage['kind']>(kind: Kind): Promise<Answer<Kind>> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) return reject(this.#failure)
      const settle = (message: ProbeMessage): void => {
        if (message.kind === kind) resolve(message as Answer<Kind>)
        else reject(failed(`a probe said «${message.kind}» and not «${kind}»`))
      }
      this.#waiting = { resolve: settle, reject }
    })
  }

  ask<Kind extends ProbeMessage['kind']>(command: ProbeCommand, kind: Kind): Promise<Answer<Kind>> {
    const answered = this.expect(kind)
    this.#worker.postMessage(command)
    Atomics.add(this.#flags, PROBE_COMMANDS, 1)
    Atomics.notify(this.#flags, PROBE_COMMANDS)
    return answered
  }

  interrupt(): void {
    Atomics.store(this.#flags, PROBE_INTERRUPT, 1)
  }

  position(): bigint {
    return Atomics.load(this.#counters, PROBE_POSITION)
  }

  async terminate(): Promise<void> {
    this.#worker.removeAllListeners('exit')
    await this.#worker.terminate()
  }

  #heard(message: ProbeMessage): void {
    if (message.kind === 'failed') return this.#fail(threadFailure(message.error))
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.resolve(message)
  }

  #fail(error: Error): void {
    this.#failure ??= error
    this.#waiting?.reject(this.#failure)
    this.#waiting = undefined
  }
}
