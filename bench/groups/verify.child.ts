/**
 * Measured by verify.ts in a process of its own, so that nothing is warm and the peak memory is its own.
 *
 *     verify.child.ts verify RECORD…                    verifies each record
 *     verify.child.ts raw SIGNATURES HASHES             the same cryptography without anything around it
 */

import { generateKeyPairSync, hash, sign, verify } from 'node:crypto'
import { verifyRecord } from '@reprise/core'
import { nodeCrypto } from '../../packages/runner/src/crypto.ts'
import { openFileSource } from '../../packages/runner/src/record/source.ts'
import { seconds } from '../harness.ts'

export interface ChildAnswer {
  readonly seconds: number
  readonly peakMb: number
}

/** What is hashed for a checkpoint: its leaf, then the link of the chain. */
const LEAF_BYTES = 143

async function verifyAll(paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    await using source = await openFileSource(path)
    const { evidence, findings } = await verifyRecord(source, { crypto: nodeCrypto })
    if (evidence !== 'verified') throw new Error(`${path} is ${evidence}: ${JSON.stringify(findings)}`)
  }
}

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
const elapsed = mode === 'raw' ? await raw(Number(rest[0]), Number(rest[1])) : await seconds(() => verifyAll(rest))
const answer: ChildAnswer = { seconds: elapsed, peakMb: process.resourceUsage().maxRSS / 1024 }
process.stdout.write(JSON.stringify(answer))
