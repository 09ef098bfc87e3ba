/** Fuzzes targets from one input to another, under a watchdog. */
import { Worker } from 'node:worker_threads'
import type { FuzzAnswer, FuzzOrder } from './fuzz.worker.ts'

/** An input that takes the processor for longer hangs: the slowest needs a hundredth of it. */
const INPUT_MS_MAX = 30_000
const WATCH_MS = 1000
/** Of the JavaScript heap. What an input makes of a few thousand bytes fits in many times. */
const HEAP_MB_MAX = 768

export type FuzzRange = Omit<FuzzOrder, 'done'>

/** A thread that does one range after another: to load all that is fuzzed takes longer than most ranges. */
export class Fuzzer implements AsyncDisposable {
  #worker: Worker | undefined

  /** One at a time. @throws Error that names the input and the one command that repeats it. */
  async fuzz(range: FuzzRange): Promise<void> {
    const worker = (this.#worker ??= new Worker(new URL('./fuzz.worker.ts', import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB_MAX, stackSizeMb: 4 },
    }))
    try {
      await watched(worker, range)
    } catch (error) {
      // What an input has left behind is not there for the next range.
      await this[Symbol.asyncDispose]()
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker?.terminate()
    this.#worker = undefined
  }
}

async function watched(worker: Worker, range: FuzzRange): Promise<void> {
  const done = new SharedArrayBuffer(4)
  const counter = new Int32Array(done)
  const order: FuzzOrder = { ...range, done }
  let seen = 0
  let sinceMs: number | undefined
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
            if (now !== seen || sinceMs === undefined) sinceMs = atMs
            else if (atMs - sinceMs > INPUT_MS_MAX) fail(`it hangs: nothing for ${INPUT_MS_MAX} ms of its time`)
            seen = now
            // It has ended.
          },
          () => undefined,
        )
      }, WATCH_MS)
      worker.once('message', (answer: FuzzAnswer) =>
        answer.kind === 'held' ? resolve() : fail(answer.message, answer.input),
      )
      worker.once('error', (error) => fail(String(error)))
      worker.once('exit', () => fail('the thread ended'))
      worker.postMessage(order)
    })
  } finally {
    clearInterval(watch)
    for (const event of ['message', 'error', 'exit']) worker.removeAllListeners(event)
  }
}

function found({ target, seed }: FuzzRange, input: number, why: string): Error {
  return new Error(`node test/fuzz/main.ts ${target} --seed ${seed} --input ${input}\n${why}`)
}
