/** Fuzzes in a thread of its own, so that an input that hangs or takes all memory ends nothing else. */
import { parentPort } from 'node:worker_threads'
import { randomOf } from './random.ts'
import { targets } from './targets/index.ts'

export interface FuzzOrder {
  readonly target: string
  readonly seed: number
  readonly from: number
  readonly count: number
  /** One 32-bit word: how many inputs are done. */
  readonly done: SharedArrayBuffer
}

/** The first input of which the claim does not hold, or that it holds of all. */
export type FuzzAnswer =
  | { readonly kind: 'held' }
  | { readonly kind: 'found'; readonly input: number; readonly message: string }

const port = parentPort
if (port === null) throw new Error('this is a thread')
port.on('message', (order: FuzzOrder) => void fuzz(order).then((answer) => port.postMessage(answer)))

async function fuzz({ target: name, seed, from, count, done }: FuzzOrder): Promise<FuzzAnswer> {
  const counter = new Int32Array(done)
  const target = targets.find((each) => each.name === name)
  if (target === undefined) throw new Error(`there is no target ${name}`)
  const check = await target.prepare()
  for (let i = 0; i < count; i++) {
    try {
      await check(randomOf(name, seed, from + i))
    } catch (error) {
      const message = error instanceof Error ? String(error.stack) : String(error)
      return { kind: 'found', input: from + i, message }
    }
    Atomics.add(counter, 0, 1)
  }
  return { kind: 'held' }
}
