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

async function* inThreads(
  paths: readonly string[],
  policy: VerifyPolicy,
  threads: number,
): AsyncGenerator<FileVerdict> {
  const workerData: VerifyWorkerData = { policy }
  const url = new URL(import.meta.url.endsWith('.ts') ? './verify.worker.ts' : './verify.worker.js', import.meta.url)
  const workers = Array.from({ length: threads }, () => new Worker(url, { workerData }))
  const answers = new Map<number, VerifyAnswer>()
  let asked = 0
  let yielded = 0
  let died: Error | undefined
  let wake = (): void => {}
  const queued = new Map(workers.map((worker) => [worker, 0]))
  const feed = (): void => {
    for (let isBusy = true; isBusy;) {
      isBusy = false
      for (const [worker, waiting] of queued) {
        if (waiting >= QUEUED_MAX || asked === paths.length || asked - yielded >= threads * AHEAD_MAX) continue
        const request: VerifyRequest = { index: asked, path: paths[asked] }
        worker.postMessage(request)
        queued.set(worker, waiting + 1)
        asked++
        isBusy = true
      }
    }
  }
  for (const worker of workers) {
    worker.on('message', (answer: VerifyAnswer) => {
      answers.set(answer.index, answer)
      queued.set(worker, (queued.get(worker) ?? 1) - 1)
      feed()
      wake()
    })
    worker.on('error', (error) => {
      died = error instanceof Error ? error : new Error(String(error))
      wake()
    })
  }
  try {
    for (; yielded < paths.length; yielded++) {
      feed()
      while (!answers.has(yielded) && died === undefined) await new Promise<void>((resolve) => (wake = resolve))
      if (died !== undefined) throw died
      const answer = answers.get(yielded) as VerifyAnswer
      answers.delete(yielded)
      yield verdictOf(paths[yielded], answer)
    }
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()))
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
