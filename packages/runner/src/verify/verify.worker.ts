/** Verifies one record after the other, as they are asked for. */
import { parentPort, workerData } from 'node:worker_threads'
import { serializedError } from '../machine/serialized-error.ts'
import type { VerifyAnswer, VerifyRequest, VerifyWorkerData } from './protocol.ts'
import { verifyFile } from './verify-file.ts'

const { policy } = workerData as VerifyWorkerData

async function answer({ index, path }: VerifyRequest): Promise<VerifyAnswer> {
  try {
    return { kind: 'verified', index, result: await verifyFile(path, policy) }
  } catch (error) {
    return { kind: 'failed', index, error: serializedError(error) }
  }
}

let before: Promise<void> = Promise.resolve()
parentPort?.on('message', (request: VerifyRequest) => {
  // One at a time: that bounds the memory, and another one would not be ready sooner.
  before = before.then(async () => parentPort?.postMessage(await answer(request)))
})
