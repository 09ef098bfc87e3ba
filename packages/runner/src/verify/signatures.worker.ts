/** Checks the signatures that another thread came upon, one batch after the other. */
import { parentPort } from 'node:worker_threads'
import { nodeCrypto } from '../crypto.ts'
import { type SignatureAnswers, type SignatureBatch, unpacked } from './signature-batch.ts'

parentPort?.on('message', (batch: SignatureBatch) => {
  const answers = unpacked(batch).map((request) => nodeCrypto.verify(request) as boolean)
  parentPort?.postMessage(answers satisfies SignatureAnswers)
})
