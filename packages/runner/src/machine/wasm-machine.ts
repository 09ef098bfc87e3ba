/**
 * The wasm engine behind the engine contract: a thread that runs the guest, a thread that hashes,
 * and this, which commands both.
 */
import { MessageChannel } from 'node:worker_threads'
import {
  assert,
  hex,
  type Computation,
  type Machine,
  type MachineResults,
  type MachineState,
  type Stop,
  type WarmStart,
} from '@reprise/core'
import { dirtyPagesChoice, type DirtyPagesChoice, type DirtyPagesMethod } from '../dirty-pages/index.ts'
import { moduleCache } from '../home.ts'
import { RunnerError } from '../error.ts'
import {
  CONTROL_CAPTURE_US,
  CONTROL_INTERRUPT,
  CONTROL_MEMORY,
  CONTROL_POSITION,
  CONTROL_STALL_US,
  type EngineData,
} from './protocol.ts'
import { engineThread } from './engine-thread.ts'
import { FirstCalls } from './first-calls.ts'
import type { Restored, SavedMachine } from './restore.ts'
import { failed, Threads, type Answer, type OnStream } from './threads.ts'
import { isWhole, loadWarmStart, makeWarmStart, warmStack } from './warm/index.ts'

const WASM_PAGE_BYTES = 65536
export interface MachineOptions {
  readonly computation: Computation
  /** Paths of the computation's blobs by SHA-256. */
  readonly blobs: Readonly<Record<string, string>>
  /** Where rewritten modules are kept, and the store that snapshots go to. */
  readonly home: string
  /** The snapshot to begin with; its blobs are among `blobs`, and all of them but the packs are checked. */
  readonly from?: SavedMachine | undefined
  /** False when those that are taken are only to be compared: nothing of them is written. */
  readonly keepsSnapshots?: boolean
  readonly onStream?: OnStream
  /** `kernel` fails where the kernel cannot be asked; the default is what the environment says, else `auto`. */
  readonly dirtyPages?: DirtyPagesChoice
}

export interface WasmMachine extends Machine {
  readonly memoryBytesAtStart: number
  readonly rewrite: { readonly cached: boolean; readonly elapsedMs: number }
  /**
   * In one that goes on from a snapshot: what it was restored to. It is hashed while the machine goes on already, but nothing comes
   * out before, no stop and no stream; and when it is not what was expected, never. Rejects with `BLOB_CORRUPT` when a pack is to blame.
   */
  readonly restored: Promise<Restored> | undefined
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
  const engine = engineThread()
  const { control } = engine
  const shadow = new SharedArrayBuffer(0, { maxByteLength: computation.limits.memoryPages * WASM_PAGE_BYTES })
  const { port1: enginePort, port2: hashPort } = new MessageChannel()
  const home = options.keepsSnapshots === false ? undefined : options.home
  const threads = new Threads({ engine, hash: { home, shadow, enginePort }, onStream: options.onStream })
  const data: EngineData = {
    computation,
    blobs: options.blobs,
    cacheFolder: moduleCache(options.home),
    shadow,
    hashPort,
    from: options.from?.manifest,
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
    const restored = options.from && threads.restore(options.from, options.blobs, shadow)
    if (start !== undefined && options.from === undefined) {
      const isWhole = await beginWarm(threads, { ...options, computation: { ...computation, start }, shadow })
      if (!isWhole) {
        await threads.terminate()
        return undefined
      }
    }
    const heard = await ready
    await scanner
    return machineOf({ threads, control, shadow, ready: heard, restored })
  } catch (error) {
    await threads.terminate()
    throw error
  }
}

/**
 * Puts the memory of the warm start where both threads find it, and checks it while the guest gets it: so a machine
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
  const memory = { memoryBytes, pages }
  threads.tell({ kind: 'warm', stack: warmStack(entry), memory })
  return (
    isWhole(entry, new Uint8Array(shadow)) && hex(threads.begin({ ...memory, digests: entry.digests })) === memoryRoot
  )
}

export function notTheWarmStart(sealed: string, actual: string): RunnerError {
  return new RunnerError('WARM_START', {
    message: `the program comes to another warm start (${actual}) than the computation seals (${sealed})`,
    hint: 'the record was made up, or made by a version that differs; nothing that follows from it can be repeated',
    data: { sealed, actual },
  })
}

interface MachineParts {
  readonly threads: Threads
  readonly control: SharedArrayBuffer
  readonly shadow: SharedArrayBuffer
  readonly ready: Answer<'ready'>
  readonly restored: Promise<Restored> | undefined
}

function machineOf({ threads, control, shadow, ready, restored }: MachineParts): WasmMachine {
  const flags = new Int32Array(control)
  const counters = new BigInt64Array(control)
  const firstCalls = ready.wantsFirstCalls ? new FirstCalls() : undefined
  let disposed: Promise<void> | undefined
  const dispose = async (): Promise<void> => {
    const functions = await firstCalls?.take()
    if (functions !== undefined) await threads.ask({ kind: 'first-calls', functions }, 'named').catch(() => {})
    await threads.terminate()
  }
  return {
    memoryBytesAtStart: ready.memoryBytes,
    rewrite: ready.rewrite,
    restored,
    async runTo(position): Promise<Stop> {
      await firstCalls?.watch()
      const { stop } = await threads.run(position)
      if (stop.kind === 'exited') firstCalls?.ended()
      await threads.settled
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
    [Symbol.asyncDispose]: () => (disposed ??= dispose()),
  }
}
