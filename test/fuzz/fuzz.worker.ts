/** Fuzzes in a thread of its own, so that an input that hangs or takes all memory ends nothing else. */
import { parentPort, workerData } from 'node:worker_threads'
import { randomOf } from './random.ts'
import { targets } from './targets/index.ts'

export interface FuzzWorkerData {
  readonly target: string
  readonly seed: number
  readonly from: number
  readonly count: number
  /** One 32-bit word: how many inputs are done. */
  readonly done: SharedArrayBuffer
}

export interface FuzzMessage {
  readonly input: number
  readonly message: string
}

const { target: name, seed, from, count, done } = workerData as FuzzWorkerData
const target = targets.find((each) => each.name === name)
if (target === undefined) throw new Error(`there is no target ${name}`)
const check = await target.prepare()
const counter = new Int32Array(done)
for (let i = 0; i < count; i++) {
  try {
    await check(randomOf(name, seed, from + i))
  } catch (error) {
    const message: FuzzMessage = {
      input: from + i,
      message: error instanceof Error ? String(error.stack) : String(error),
    }
    parentPort?.postMessage(message)
    break
  }
  Atomics.add(counter, 0, 1)
}
