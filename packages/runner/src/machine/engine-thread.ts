/** The engine's thread, which a command may start before it knows for what: a thread takes tens of milliseconds to begin. */
import { Worker } from 'node:worker_threads'
import { WORKER_STACK_MB } from '@reprise/wasm'
import { moduleCache } from '../home.ts'
import { CONTROL_BYTES, type EngineWorkerData, type Expects } from './protocol.ts'
import type { WantedModule } from './rewritten.ts'
import { workerUrl } from './worker-url.ts'

export interface EngineThread {
  readonly worker: Worker
  readonly control: SharedArrayBuffer
}

let early: EngineThread | undefined

/**
 * For the first machine of this process. A thread that none ever asks for does not keep the process.
 *
 * @param expects - The module that this machine will most likely have, and whose cache may keep it.
 */
export function startEngineThreadEarly(expects?: { readonly module: WantedModule; readonly home: string }): void {
  early = startEngineThread(expects && { module: expects.module, cacheFolder: moduleCache(expects.home) })
  early.worker.unref()
}

export function engineThread(): EngineThread {
  const thread = early ?? startEngineThread()
  early = undefined
  thread.worker.ref()
  return thread
}

function startEngineThread(expects?: Expects): EngineThread {
  const control = new SharedArrayBuffer(CONTROL_BYTES)
  const workerData: EngineWorkerData = { control, expects }
  const resourceLimits = { stackSizeMb: WORKER_STACK_MB }
  return { control, worker: new Worker(workerUrl('engine'), { workerData, resourceLimits }) }
}
