/** The engine's thread, which a command may start before it knows for what: a thread takes tens of milliseconds to begin. */
import { Worker, type MessagePort } from 'node:worker_threads'
import { WORKER_STACK_MB } from '@reprise/wasm'
import { moduleCache } from '../home.ts'
import { CONTROL_BYTES, CONTROL_COMMANDS, type Command } from './protocol.ts'
import type { WantedModule } from './rewritten.ts'
import { workerUrl } from './worker-url.ts'

export interface EngineThread {
  readonly worker: Worker
  readonly control: SharedArrayBuffer
}

let early: EngineThread | undefined
let isExpecting = false

/**
 * For the first machine of this process. A thread that none ever asks for does not keep the process; why there is none is told to
 * who asks for one.
 */
export function startEngineThreadEarly(): void {
  try {
    early = startEngineThread()
    early.worker.unref()
  } catch {
    // Another one is tried then.
  }
}

/**
 * Has the thread that was started early load the module that the first machine will most likely have, if the cache has it.
 * Only the first guess is heard.
 */
export function expectModule(module: WantedModule, home: string): void {
  if (early === undefined || isExpecting) return
  isExpecting = true
  sendCommand(early, { kind: 'expect', expects: { module, cacheFolder: moduleCache(home) } })
}

export function engineThread(): EngineThread {
  const thread = early ?? startEngineThread()
  early = undefined
  thread.worker.ref()
  return thread
}

/** Wakes the thread where it stands still. */
export function sendCommand(
  { worker, control }: EngineThread,
  command: Command,
  transfer: readonly MessagePort[] = [],
): void {
  const flags = new Int32Array(control)
  worker.postMessage(command, [...transfer])
  Atomics.add(flags, CONTROL_COMMANDS, 1)
  Atomics.notify(flags, CONTROL_COMMANDS)
}

function startEngineThread(): EngineThread {
  const control = new SharedArrayBuffer(CONTROL_BYTES)
  const resourceLimits = { stackSizeMb: WORKER_STACK_MB }
  return { control, worker: new Worker(workerUrl('engine'), { workerData: control, resourceLimits }) }
}
