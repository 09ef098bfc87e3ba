/** Verifies many records, several at once, and answers in their order. */
import { stat } from 'node:fs/promises'
import { Worker } from 'node:worker_threads'
import { EvidenceError, type CoreErrorCode, type VerifyResult } from '@reprise/core'
import { RunnerError, type RunnerErrorCode } from '../error.ts'
import type { SerializedError } from '../machine/serialized-error.ts'
import type { VerifyAnswer, VerifyRequest, VerifyWorkerData } from './protocol.ts'
import { verifyFile, type VerifyPolicy } from './verify-file.ts'

/** What became of one record; `error` as {@link verifyFile} throws it. */
export type FileVerdict = { readonly path: string } & (
  | { readonly kind: 'verified'; readonly result: VerifyResult }
  | { readonly kind: 'failed'; readonly error: unknown }
)

/** Requests that wait in a thread, so that it need not wait for the next one. */
const QUEUED_MAX = 4
/** Answers that wait for one before them, for each thread: with what is queued this bounds the memory. */
const AHEAD_MAX = 16
/** Bytes of records that are worth a thread: it takes about as long to start. */
const BYTES_PER_THREAD = 1 << 18

/**
 * @param request.jobs - How many records at the same time, at most; fewer when they are too small to be worth threads.
 * @returns One verdict for each path, in the order of `paths`. Leaving the loop early ends the threads.
 */
export async function* verifyFiles(
  paths: readonly string[],
  { policy, jobs }: { readonly policy: VerifyPolicy; readonly jobs: number },
): AsyncGenerator<FileVerdict> {
  const threads = Math.min(jobs, paths.length, await threadsWorth(paths, jobs))
  if (threads > 1) return yield* inThreads(paths, policy, threads)
  for (const path of paths) yield await here(path, policy)
}

/** Reads sizes only until it knows. What cannot be read has none here, and its failure is its verdict. */
async function threadsWorth(paths: readonly string[], jobs: number): Promise<number> {
  let bytes = 0
  for (const path of paths) {
    if (bytes >= jobs * BYTES_PER_THREAD) break
    bytes += await stat(path).then(
      ({ size }) => size,
      () => 0,
    )
  }
  return Math.floor(bytes / BYTES_PER_THREAD)
}

async function here(path: string, policy: VerifyPolicy): Promise<FileVerdict> {
  try {
    return { kind: 'verified', path, result: await verifyFile(path, policy) }
  } catch (error) {
    return { kind: 'failed', path, error }
  }
}

/** This thread verifies as well: it needs no start, and what is compiled in it is not compiled once more. */
async function* inThreads(
  paths: readonly string[],
  policy: VerifyPolicy,
  threads: number,
): AsyncGenerator<FileVerdict> {
  const verdicts = new Map<number, FileVerdict>()
  let asked = 0
  let yielded = 0
  const next = (): number | undefined =>
    asked < paths.length && asked - yielded < threads * AHEAD_MAX ? asked++ : undefined
  const others = startThreads(threads - 1, { policy, paths, next, verdicts })
  try {
    for (; yielded < paths.length; yielded++) {
      for (;;) {
        others.feed()
        const verdict = verdicts.get(yielded)
        if (verdict !== undefined) break
        const index = next()
        if (index === undefined) await others.answer()
        else {
          verdicts.set(index, await here(paths[index], policy))
          // A small record is verified without a turn of the event loop, which brings the others' answers.
          await new Promise((resolve) => setImmediate(resolve))
        }
        others.throwIfDied()
      }
      yield verdicts.get(yielded) as FileVerdict
      verdicts.delete(yielded)
    }
  } finally {
    await others.end()
  }
}

interface Threads {
  /** Gives each thread as much as it may have waiting. */
  readonly feed: () => void
  /** Waits for an answer, or for a death. */
  readonly answer: () => Promise<void>
  readonly throwIfDied: () => void
  readonly end: () => Promise<void>
}

function startThreads(
  count: number,
  work: {
    readonly policy: VerifyPolicy
    readonly paths: readonly string[]
    /** The place of a record that nobody has yet; undefined when there is none now. */
    readonly next: () => number | undefined
    readonly verdicts: Map<number, FileVerdict>
  },
): Threads {
  const { policy, paths, next, verdicts } = work
  const workerData: VerifyWorkerData = { policy }
  const url = new URL(import.meta.url.endsWith('.ts') ? './verify.worker.ts' : './verify.worker.js', import.meta.url)
  const queued = new Map<Worker, number>()
  for (let i = 0; i < count; i++) queued.set(new Worker(url, { workerData }), 0)
  let died: Error | undefined
  let wake = (): void => {}
  const feed = (): void => {
    for (const [worker, waiting] of queued) {
      let now = waiting
      for (let index; now < QUEUED_MAX && (index = next()) !== undefined; now++)
        worker.postMessage({ index, path: paths[index] } satisfies VerifyRequest)
      queued.set(worker, now)
    }
  }
  for (const worker of queued.keys()) {
    worker.on('message', (answer: VerifyAnswer) => {
      verdicts.set(answer.index, verdictOf(paths[answer.index], answer))
      queued.set(worker, (queued.get(worker) ?? 1) - 1)
      feed()
      wake()
    })
    worker.on('error', (error) => {
      died = error instanceof Error ? error : new Error(String(error))
      wake()
    })
  }
  return {
    feed,
    answer: () => new Promise<void>((resolve) => (wake = resolve)),
    throwIfDied() {
      if (died !== undefined) throw died
    },
    async end() {
      await Promise.all([...queued.keys()].map((worker) => worker.terminate()))
    },
  }
}

function verdictOf(path: string, answer: VerifyAnswer): FileVerdict {
  return answer.kind === 'verified'
    ? { kind: 'verified', path, result: answer.result }
    : { kind: 'failed', path, error: thrownError(answer.error) }
}

function thrownError({ name, code, message, hint }: SerializedError): Error {
  const details = { message, ...(hint !== undefined && { hint }) }
  if (name === 'EvidenceError') return new EvidenceError(code as CoreErrorCode, details)
  if (name === 'RunnerError') return new RunnerError(code as RunnerErrorCode, details)
  return new Error(message)
}
