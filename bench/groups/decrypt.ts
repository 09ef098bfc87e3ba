/** How fast an encrypted recovery image is checked and decrypted. Baseline: the same cryptography over one chunk in a loop. */

import { generateKeyPairSync, randomFillSync, sign } from 'node:crypto'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sealImage, Secret } from '../../packages/recovery/src/sealing/index.ts'
import { runScript } from '../child.ts'
import type { Bench, Group } from '../harness.ts'
import type { ChildAnswer } from './decrypt.child.ts'

const MB = 1 << 20
/** What an image has unless it is told otherwise. */
const CHUNK_BYTES = 1 << 20
const IMAGE_MB = 512
const IMAGE_QUICK_MB = 128
/** As `decrypt.child.ts` has it. */
const KEY = new Uint8Array(32).fill(7)

const child = (...args: string[]): Promise<ChildAnswer> =>
  runScript(new URL('./decrypt.child.ts', import.meta.url), args)

/** @returns The image's path and its signer, an uncompressed point in hex. */
async function makeImage(folder: string, sizeMb: number): Promise<readonly [string, string]> {
  const [payload, target] = [join(folder, 'payload'), join(folder, 'image')]
  const part = randomFillSync(new Uint8Array(MB))
  await using file = await open(payload, 'w')
  for (let i = 0; i < sizeMb; i++) await file.write(part)
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const point = publicKey.export({ type: 'spki', format: 'der' }).subarray(-65)
  using key = Secret.owning(KEY.slice())
  await sealImage({
    ...{ payload, target, kind: 'bytes', key },
    about: { name: 'bench', version: 1, roster: 1, approvals: 0, services: [] },
    sign: (message) => new Uint8Array(sign('sha256', message, { key: privateKey, dsaEncoding: 'ieee-p1363' })),
  })
  return [target, point.toString('hex')]
}

async function measure(bench: Bench, folder: string): Promise<void> {
  const sizeMb = bench.quick ? IMAGE_QUICK_MB : IMAGE_MB
  const [image, signer] = await makeImage(folder, sizeMb)
  const gb = (sizeMb * MB) / 1e9
  const sized = [String(sizeMb * MB), String(CHUNK_BYTES)]
  await bench.figure({
    name: 'chunks in memory, one core',
    unit: 'GB/s',
    subject: async () => gb / (await child('chunks', ...sized)).cpuS,
    baseline: async () => gb / (await child('aes', ...sized)).cpuS,
    summary: { key: 'recovery.decrypt.gbPerS', of: 'value' },
  })
  const wall: number[] = []
  const peak: number[] = []
  await bench.figure({
    name: 'whole image, read and digested, one core',
    unit: 'GB/s',
    async subject() {
      const { cpuS, wallS, peakMb } = await child('image', image, signer)
      wall.push(gb / wallS)
      peak.push(peakMb)
      return gb / cpuS
    },
    baseline: async () => gb / (await child('raw', ...sized)).cpuS,
    summary: { key: 'recovery.image.gbPerS', of: 'value' },
  })
  bench.add({ name: 'whole image by the clock', unit: 'GB/s', samples: wall.slice(1) })
  bench.add({ name: 'peak memory', unit: 'MB', samples: peak.slice(1) })
}

export const decrypt: Group = {
  name: 'decrypt',
  about: 'decryption of a recovery image: bytes for each second of a processor, and memory',
  async measure(bench) {
    const folder = await mkdtemp(join(tmpdir(), 'reprise-decrypt-'))
    try {
      await measure(bench, folder)
    } finally {
      await rm(folder, { recursive: true })
    }
  },
}
