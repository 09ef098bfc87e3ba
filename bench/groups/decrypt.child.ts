/**
 * Measured by decrypt.ts in a process of its own, so that nothing is warm and processor time and memory are its own.
 *
 *     decrypt.child.ts image IMAGE          opens an image and decrypts all of it; key and signer are those of decrypt.ts
 *     decrypt.child.ts chunks BYTES CHUNK   decrypts chunks that are in memory, as an image's are
 *     decrypt.child.ts raw BYTES CHUNK      the cryptography of `image` over one chunk again and again, without reading or checking anything
 *     decrypt.child.ts aes BYTES CHUNK      that of `chunks`
 */

import { createCipheriv, createDecipheriv, hash } from 'node:crypto'
import { decryptImage, openImage, openImageFile, Secret } from '../../packages/recovery/src/sealing/index.ts'
import { decryptChunk, discard, encryptChunk } from '../../packages/recovery/src/sealing/image/chunks.ts'
import { concat, fromHex } from '../../packages/core/src/index.ts'

export interface ChildAnswer {
  readonly wallS: number
  readonly cpuS: number
  readonly peakMb: number
}

const [mode, ...rest] = process.argv.slice(2)
const KEY = new Uint8Array(32).fill(7)

async function decryptAll(path: string, signer: string): Promise<void> {
  await using source = await openImageFile(path)
  const floors = { version: 0, roster: 0, approvals: 0 }
  const image = await openImage(source, { signers: [fromHex(signer)], floors })
  using key = Secret.owning(KEY.slice())
  let bytes = 0
  for await (const chunk of decryptImage(image, key)) bytes += chunk.length
  if (bytes !== image.manifest.payload.lengthBytes) throw new Error(`${bytes} bytes came out`)
}

function chunks(bytes: number, chunkBytes: number): void {
  using key = Secret.owning(KEY.slice())
  const place = { version: 1, index: 0, total: 1 }
  const chunk = concat(...encryptChunk(key, place, new Uint8Array(chunkBytes)))
  for (let done = 0; done < bytes; done += chunkBytes) {
    const plain = decryptChunk(key, place, chunk)
    if (plain?.length !== chunkBytes) throw new Error('it did not come out')
    discard(plain)
  }
}

function bare(bytes: number, chunkBytes: number, digest: boolean): void {
  const nonce = new Uint8Array(12)
  const cipher = createCipheriv('aes-256-gcm', KEY, nonce)
  const chunk = cipher.update(new Uint8Array(chunkBytes))
  cipher.final()
  for (let done = 0; done < bytes; done += chunkBytes) {
    const decipher = createDecipheriv('aes-256-gcm', KEY, nonce).setAuthTag(cipher.getAuthTag())
    decipher.update(chunk)
    decipher.final()
    if (digest) hash('sha256', chunk, 'buffer')
  }
}

const startedMs = performance.now()
const before = process.cpuUsage()
if (mode === 'image') await decryptAll(rest[0], rest[1])
else if (mode === 'chunks') chunks(Number(rest[0]), Number(rest[1]))
else bare(Number(rest[0]), Number(rest[1]), mode === 'raw')
const { user, system } = process.cpuUsage(before)
const answer: ChildAnswer = {
  wallS: (performance.now() - startedMs) / 1000,
  cpuS: (user + system) / 1e6,
  peakMb: process.resourceUsage().maxRSS / 1024,
}
console.log(JSON.stringify(answer))
