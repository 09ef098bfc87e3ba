/** Verifies one batch after the other, as they are asked for. */
import { parentPort, workerData } from 'node:worker_threads'
import { serializedError } from '../machine/serialized-error.ts'
import { verifyBatch } from './batches.ts'
import type { SentAnswer, VerifyAnswer, VerifyRequest, VerifyWorkerData } from './protocol.ts'

const { policy } = workerData as VerifyWorkerData

async function answer({ index, paths }: VerifyRequest): Promise<VerifyAnswer> {
  const answers = await verifyBatch(paths, { policy })
  return {
    index,
    answers: answers.map((each): SentAnswer =>
      each.kind === 'verified' ? each : { kind: 'failed', error: serializedError(each.error) },
    ),
  }
}

let before: Promise<void> = Promise.resolve()
parentPort?.on('message', (request: VerifyRequest) => {
  // One at a time: that bounds the memory, and another one would not be ready sooner.
  before = before.then(async () => parentPort?.postMessage(await answer(request)))
})
