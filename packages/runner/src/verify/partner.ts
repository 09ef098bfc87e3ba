/** A thread that checks the signatures which one that verifies records comes upon. */
import { Worker } from 'node:worker_threads'
import { packed, type SignatureAnswers, type SignatureRequest } from './signature-batch.ts'

/**
 * Batches it may have: what the other thread comes upon, comes upon it unevenly. Of more, the records that wait outlive the collections of
 * what is new, each of which then copies them.
 */
const WAITING_MAX = 4

export interface Partner {
  /** Whether it has as much as it should, or died. */
  readonly isBusy: () => boolean
  /** @returns One answer for each, in their order. Rejects when the thread dies. */
  readonly check: (requests: readonly SignatureRequest[]) => Promise<SignatureAnswers>
  readonly end: () => Promise<void>
}

interface Waiting {
  readonly resolve: (answers: SignatureAnswers) => void
  readonly reject: (error: Error) => void
}

export function startPartner(): Partner {
  const name = import.meta.url.endsWith('.ts') ? './signatures.worker.ts' : './signatures.worker.js'
  const worker = new Worker(new URL(name, import.meta.url))
  const waiting: Waiting[] = []
  let ended: Error | undefined
  worker.on('message', (answers: SignatureAnswers) => waiting.shift()?.resolve(answers))
  const leave = (error: Error): void => {
    ended ??= error
    for (const { reject } of waiting.splice(0)) reject(error)
  }
  worker.on('error', (error) => leave(error instanceof Error ? error : new Error(String(error))))
  worker.on('exit', () => leave(new Error('the thread that checks signatures has ended')))
  return {
    isBusy: () => ended !== undefined || waiting.length >= WAITING_MAX,
    check: (requests) =>
      new Promise((resolve, reject) => {
        if (ended !== undefined) return reject(ended)
        waiting.push({ resolve, reject })
        const batch = packed(requests)
        return worker.postMessage(batch, [batch.bytes.buffer])
      }),
    end: async () => void (await worker.terminate()),
  }
}
