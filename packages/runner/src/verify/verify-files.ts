/** Verifies many records, several at once, and answers in their order. */
import { Worker } from 'node:worker_threads'
import { EvidenceError, type CoreErrorCode } from '@reprise/core'
import { RunnerError, type RunnerErrorCode } from '../error.ts'
import type { SerializedError } from '../machine/serialized-error.ts'
import { type Batch, batchesOf, type FileAnswer, verifyBatch } from './batches.ts'
import type { SentAnswer, VerifyAnswer, VerifyRequest, VerifyWorkerData } from './protocol.ts'
import { startPartner } from './partner.ts'
import type { VerifyPolicy } from './verify-file.ts'

/** What became of one record; `error` as `verifyFile` throws it. */
export type FileVerdict = FileAnswer & { readonly path: string }

/** Requests that wait in a thread, so that it need not wait for the next one. */
const QUEUED_MAX = 2
/** Batches that are answered and wait for one before them, for each thread: with what is queued this bounds the memory. */
const AHEAD_MAX = 8
/** Batches that a thread verifies at once where it has another one for the signatures. */
const OWN_MAX = 5
/** Bytes of records that are worth a thread: it takes about as long to start. */
const BYTES_PER_THREAD = 1 << 18
/** For each thread, where there are enough records for so many. */
const BATCHES_MIN = 4

/**
 * Those of a batch come together, for they are answered together.
 *
 * @param request.jobs - How many threads verify, at most; fewer when the records are too small to be worth threads.
 * @returns One verdict for each path, in the order of `paths`. Leaving the loop early ends the threads.
 */
export async function* verifyFiles(
  paths: readonly string[],
  { policy, jobs }: { readonly policy: VerifyPolicy; readonly jobs: number },
): AsyncGenerator<readonly FileVerdict[]> {
  const batches = batchesOf(paths, Math.ceil(paths.length / (jobs * BATCHES_MIN)))
  const bytes = batches.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0)
  const threads = Math.min(jobs, batches.length, Math.floor(bytes / BYTES_PER_THREAD))
  const answers = threads > 1 ? inThreads(batches, policy, threads) : inTurn(batches, policy)
  let at = 0
  for await (const answer of answers) {
    const batch = batches[at++]
    yield answer.map((each, i) => ({ ...each, path: batch.paths[i] }))
  }
}

async function* inTurn(batches: readonly Batch[], policy: VerifyPolicy): AsyncGenerator<readonly FileAnswer[]> {
  for (const { paths } of batches) yield await verifyBatch(paths, { policy })
}

/**
 * This thread verifies as well: it needs no start, and what is compiled in it is not compiled once more. A second one checks
 * the signatures that it comes upon: half of the work, and next to no code to load and compile. Further ones verify whole
 * records.
 */
async function* inThreads(
  batches: readonly Batch[],
  policy: VerifyPolicy,
  threads: number,
): AsyncGenerator<readonly FileAnswer[]> {
  const answers = new Map<number, readonly FileAnswer[]>()
  let asked = 0
  let yielded = 0
  const next = (): number | undefined =>
    asked < batches.length && asked - yielded < threads * AHEAD_MAX ? asked++ : undefined
  const partner = startPartner()
  const others = startThreads(threads - 2, { policy, batches, next, answers })
  const own = new Map<number, Promise<void>>()
  const begin = (index: number): void =>
    void own.set(
      index,
      verifyBatch(batches[index].paths, { policy, partner }).then((answer) => {
        answers.set(index, answer)
        own.delete(index)
      }),
    )
  try {
    for (; yielded < batches.length; yielded++) {
      for (;;) {
        others.feed()
        const answer = answers.get(yielded)
        if (answer !== undefined) break
        const index = own.size < OWN_MAX ? next() : undefined
        if (index === undefined) await Promise.race([others.answer(), ...own.values()])
        else {
          begin(index)
          // A single small record is verified without a turn of the event loop, which brings the others' answers.
          await new Promise((resolve) => setImmediate(resolve))
        }
        others.throwIfDied()
      }
      yield answers.get(yielded) as readonly FileAnswer[]
      answers.delete(yielded)
    }
  } finally {
    await Promise.all([others.end(), partner.end()])
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
    readonly batches: readonly Batch[]
    /** The place of a batch that nobody has yet; undefined when there is none now. */
    readonly next: () => number | undefined
    readonly answers: Map<number, readonly FileAnswer[]>
  },
): Threads {
  const { policy, batches, next, answers } = work
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
        worker.postMessage({ index, paths: batches[index].paths } satisfies VerifyRequest)
      queued.set(worker, now)
    }
  }
  for (const worker of queued.keys()) {
    worker.on('message', ({ index, answers: found }: VerifyAnswer) => {
      answers.set(index, found.map(answerOf))
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

function answerOf(sent: SentAnswer): FileAnswer {
  return sent.kind === 'verified' ? sent : { kind: 'failed', error: thrownError(sent.error) }
}

function thrownError({ name, code, message, hint }: SerializedError): Error {
  const details = { message, ...(hint !== undefined && { hint }) }
  if (name === 'EvidenceError') return new EvidenceError(code as CoreErrorCode, details)
  if (name === 'RunnerError') return new RunnerError(code as RunnerErrorCode, details)
  return new Error(message)
}
