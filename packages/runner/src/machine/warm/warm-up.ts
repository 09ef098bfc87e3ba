/**
 * Warm starts: kept in the cache by what decides them, made by running the program to its warm point. Only what this
 * machine made is ever kept here. Rules: spec/computation.md §6.
 */
import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { canonical, hex, utf8 } from '@reprise/core'
import { REWRITER_VERSION, WORKER_STACK_MB } from '@reprise/wasm'
import { nodeCrypto } from '../../crypto.ts'
import { writeFileAtomically } from '../../durable.ts'
import { RunnerError, writeFailure } from '../../error.ts'
import { moduleCache, runnerFolders } from '../../home.ts'
import { threadFailure } from '../failure.ts'
import { encodeWarmEntry, readWarmEntry, readWarmHead, warmEntry, type WarmedUp, type WarmEntry } from './entry.ts'
import type { WarmUp, WarmUpMessage, WarmUpWorkerData } from './protocol.ts'

export interface WarmUpRequest {
  readonly computation: WarmUp
  /** Paths of its blobs by SHA-256. */
  readonly blobs: Readonly<Record<string, string>>
  /** Whose cache keeps it. */
  readonly home: string
  /** Called before it is made, which takes about as long as a cold start. */
  readonly onMake?: (() => void) | undefined
}

/**
 * The warm start that this machine came to itself, from the cache or, when there is none or a damaged one, made now.
 *
 * @throws RunnerError `WARM_START` for a program that never becomes warm, `ENGINE_REFUSED`, `DISK_FULL`, `WRITE`.
 */
export async function loadWarmStart(request: WarmUpRequest): Promise<WarmEntry> {
  return (await readWarmEntry(pathOf(request))) ?? (await makeWarmStart(request))
}

/** The snapshotRoot of it, as {@link loadWarmStart}; of one that is kept little is read. */
export async function loadWarmRoot(request: WarmUpRequest): Promise<string> {
  return ((await readWarmHead(pathOf(request))) ?? (await makeWarmStart(request)).head).snapshotRoot
}

/** Makes it whether it is kept or not, and keeps it. Two at once make the same; either may win. */
export async function makeWarmStart(request: WarmUpRequest): Promise<WarmEntry> {
  request.onMake?.()
  const entry = warmEntry(await warmUp(request))
  const path = pathOf(request)
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await writeFileAtomically(path, encodeWarmEntry(entry))
  } catch (error) {
    throw writeFailure(error, path, 'the warm start')
  }
  return entry
}

/** The rewriter decides the modules that continue the stack, and no state. */
function pathOf({ computation, home }: WarmUpRequest): string {
  const { floats, limits, mounts, program, semantics, start } = computation
  const { arguments: args, environment, mounts: sources } = start
  const places = mounts.map(({ at, output, writable }) => ({ at, output, writable }))
  const key = canonical({
    ...{ arguments: args, entry: 4, environment, floats, limits, places, program: program.sha256 },
    ...{ rewriter: REWRITER_VERSION, semantics, sources },
  })
  return join(runnerFolders(home).cache, 'warm', `${hex(nodeCrypto.sha256(utf8(key)))}.warm`)
}

async function warmUp({ computation, blobs, home }: WarmUpRequest): Promise<WarmedUp> {
  const { floats, limits, mounts, program, semantics, start } = computation
  const data: WarmUpWorkerData = {
    computation: { floats, limits, mounts, program, semantics, start },
    blobs,
    cacheFolder: moduleCache(home),
  }
  const url = import.meta.url.endsWith('.ts') ? './warm-up.worker.ts' : './warm-up.worker.js'
  const worker = new Worker(new URL(url, import.meta.url), {
    workerData: data,
    resourceLimits: { stackSizeMb: WORKER_STACK_MB },
  })
  try {
    const message = await new Promise<WarmUpMessage>((resolve, reject) => {
      worker.once('message', resolve)
      worker.once('error', reject)
      worker.once('exit', (code) => reject(new Error(`it ended by itself (code ${code})`)))
    })
    if (message.kind === 'failed') throw threadFailure(message.error)
    return message.warmedUp
  } catch (cause) {
    if (cause instanceof RunnerError) throw cause
    throw new RunnerError('ENGINE_FAILED', { message: `the warm-up failed: ${(cause as Error).message}`, cause })
  } finally {
    await worker.terminate()
  }
}
