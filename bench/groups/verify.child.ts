/**
 * Measured by verify.ts in a process of its own, so that nothing is warm and the peak memory is its own.
 *
 *     verify.child.ts verify JOBS RECORD…               verifies each record, as the command does
 *     verify.child.ts raw JOBS SIGNATURES HASHES        the same cryptography without anything around it, in as many threads
 */

import { generateKeyPairSync, hash, sign, verify } from 'node:crypto'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { isMainThread, Worker } from 'node:worker_threads'
import { verifyFiles } from '../../packages/runner/src/verify/index.ts'
import { seconds } from '../harness.ts'

export interface ChildAnswer {
  readonly seconds: number
  readonly peakMb: number
}

/** What is hashed for a checkpoint: its leaf, then the link of the chain. */
const LEAF_BYTES = 143

async function verifyAll(jobs: number, paths: readonly string[]): Promise<void> {
  for await (const verdict of verifyFiles(paths, { policy: {}, jobs })) {
    const { path } = verdict
    if (verdict.kind === 'failed') throw verdict.error
    const { evidence, findings } = verdict.result
    if (evidence !== 'verified') throw new Error(`${path} is ${evidence}: ${JSON.stringify(findings)}`)
  }
}

/** One key for each thread, made before the time counts. */
function raw(signatures: number, hashes: number): Promise<number> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const message = new Uint8Array(LEAF_BYTES)
  const signature = sign('sha256', message, { key: privateKey, dsaEncoding: 'ieee-p1363' })
  return seconds(() => {
    for (let i = 0; i < hashes; i++) hash('sha256', message, 'buffer')
    for (let i = 0; i < signatures; i++) {
      if (!verify('sha256', message, { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature)) throw new Error('no')
    }
  })
}

/** Threads of their own for more than one job, whose start counts as it does for `verify`. */
async function rawIn(jobs: number, signatures: number, hashes: number): Promise<number> {
  if (jobs === 1) return await raw(signatures, hashes)
  const argv = ['raw', '1', String(signatures / jobs), String(hashes / jobs)]
  return await seconds(async () => {
    const threads = Array.from({ length: jobs }, () => new Worker(fileURLToPath(import.meta.url), { argv }))
    await Promise.all(threads.map((thread) => once(thread, 'exit')))
  })
}

const [mode, jobs, ...rest] = process.argv.slice(2)
const [signatures, hashes] = rest.map(Number)
const elapsed = await (mode === 'raw'
  ? rawIn(Number(jobs), signatures, hashes)
  : seconds(() => verifyAll(Number(jobs), rest)))
const answer: ChildAnswer = { seconds: elapsed, peakMb: process.resourceUsage().maxRSS / 1024 }
if (isMainThread) process.stdout.write(JSON.stringify(answer))
