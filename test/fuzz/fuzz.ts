/** Fuzzes a target from one input to another, under a watchdog. */
import { Worker } from 'node:worker_threads'
import type { FuzzMessage, FuzzWorkerData } from './fuzz.worker.ts'

/** An input that takes the processor for longer hangs: the slowest needs a hundredth of it. */
const INPUT_MS_MAX = 30_000
const WATCH_MS = 1000
/** Of the JavaScript heap. What an input makes of a few thousand bytes fits in many times. */
const HEAP_MB_MAX = 768

export interface FuzzRange {
  readonly target: string
  readonly seed: number
  readonly from: number
  readonly count: number
}

/** @throws Error that names the input and the one command that repeats it. */
export async function fuzz(range: FuzzRange): Promise<void> {
  const done = new SharedArrayBuffer(4)
  const counter = new Int32Array(done)
  const workerData: FuzzWorkerData = { ...range, done }
  const worker = new Worker(new URL('./fuzz.worker.ts', import.meta.url), {
    workerData,
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MB_MAX, stackSizeMb: 4 },
  })
  let watched = 0
  let sinceMs = 0
  let watch: NodeJS.Timeout | undefined
  try {
    await new Promise<void>((resolve, reject) => {
      const fail = (why: string, input = range.from + Atomics.load(counter, 0)): void =>
        reject(found(range, input, why))
      watch = setInterval(() => {
        // By its own time: a busy machine may leave it without a processor for long.
        void worker.cpuUsage().then(
          ({ user, system }) => {
            const [now, atMs] = [Atomics.load(counter, 0), (user + system) / 1000]
            if (now !== watched) sinceMs = atMs
            else if (atMs - sinceMs > INPUT_MS_MAX) fail(`it hangs: nothing for ${INPUT_MS_MAX} ms of its time`)
            watched = now
            // It has ended.
          },
          () => undefined,
        )
      }, WATCH_MS)
      worker.on('message', ({ input, message }: FuzzMessage) => fail(message, input))
      worker.on('error', (error) => fail(String(error)))
      worker.on('exit', () => (Atomics.load(counter, 0) === range.count ? resolve() : fail('the thread ended')))
    })
  } finally {
    clearInterval(watch)
    await worker.terminate()
  }
}

function found({ target, seed }: FuzzRange, input: number, why: string): Error {
  return new Error(`node test/fuzz/main.ts ${target} --seed ${seed} --input ${input}\n${why}`)
}
