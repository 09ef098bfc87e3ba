/**
 * Measured by verify.ts in a process of its own, so that nothing is warm and the peak memory is its own.
 *
 *     verify.child.ts verify RECORD            verifies it, as the command does
 *     verify.child.ts raw SIGNATURES HASHES    the same cryptography without anything around it
 */

import { generateKeyPairSync, hash, sign, verify } from 'node:crypto'
import { verifyFile } from '../../packages/runner/src/verify/index.ts'
import { seconds } from '../harness.ts'

export interface ChildAnswer {
  readonly seconds: number
  readonly peakMb: number
}

/** What is hashed for a checkpoint: its leaf, then the link of the chain. */
const LEAF_BYTES = 143

async function verifyOne(path: string): Promise<void> {
  const { evidence, findings } = await verifyFile(path, {})
  if (evidence !== 'verified') throw new Error(`${path} is ${evidence}: ${JSON.stringify(findings)}`)
}

/** The key is made before the time counts. */
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

const [mode, ...rest] = process.argv.slice(2)
const elapsed = await (mode === 'raw' ? raw(Number(rest[0]), Number(rest[1])) : seconds(() => verifyOne(rest[0])))
const answer: ChildAnswer = { seconds: elapsed, peakMb: process.resourceUsage().maxRSS / 1024 }
process.stdout.write(JSON.stringify(answer))
