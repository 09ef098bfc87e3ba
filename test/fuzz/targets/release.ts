/** What host recovery reads from disks that anybody may have had: images, and the file of sealed generations. */
import { deepStrictEqual, notDeepStrictEqual } from 'node:assert/strict'
import { generateKeyPairSync, sign } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { nvName, type TpmsNvPublic } from '@reprise/core'
import { RecoveryError } from '@reprise/recovery'
import {
  decodeGenerations,
  decryptImage,
  encodeGenerations,
  type Generation,
  openImage,
  sealImage,
  Secret,
} from '@reprise/recovery/sealing'
import { nodeCrypto } from '../../record/node-crypto.ts'
import { mutateBytes } from '../mutate.ts'
import type { FuzzTarget } from '../target.ts'

const CHUNK_BYTES = 1 << 16
const KEY = new Uint8Array(32).fill(3)

interface Sample {
  readonly image: Uint8Array
  readonly signer: Uint8Array
}

async function sealSample(): Promise<Sample> {
  const folder = mkdtempSync(join(tmpdir(), 'reprise-fuzz-'))
  try {
    const [payload, target] = [join(folder, 'payload'), join(folder, 'image')]
    writeFileSync(payload, new Uint8Array(CHUNK_BYTES + 500).fill(9))
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    using key = Secret.owning(KEY.slice())
    await sealImage({
      ...{ payload, target, kind: 'bytes', key, chunkBytes: CHUNK_BYTES },
      about: { name: 'sample', version: 3, roster: 2, approvals: 1, services: ['web'] },
      sign: (message) => new Uint8Array(sign('sha256', message, { key: privateKey, dsaEncoding: 'ieee-p1363' })),
    })
    const signer = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }).subarray(-65))
    return { image: new Uint8Array(readFileSync(target)), signer }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** @returns All of it; undefined when it was refused. */
async function read(image: Uint8Array, signer: Uint8Array): Promise<Uint8Array | undefined> {
  const source = {
    where: 'sample',
    sizeBytes: image.length,
    read: async (into: Uint8Array, position: number) => {
      const piece = image.subarray(position, position + into.length)
      into.set(piece)
      return piece.length
    },
  }
  const parts: Uint8Array[] = []
  try {
    const open = await openImage(source, { signers: [signer], floors: { version: 3, roster: 2, approvals: 1 } })
    using key = Secret.owning(KEY.slice())
    for await (const part of decryptImage(open, key)) parts.push(part.slice())
    return new Uint8Array(Buffer.concat(parts))
  } catch (error) {
    if (error instanceof RecoveryError) return undefined
    throw error
  }
}

export const recoveryImages: FuzzTarget = {
  name: 'recovery-image',
  claim: 'a changed image is refused before its end',
  byDay: 1000,
  async prepare() {
    const { image, signer } = await sealSample()
    notDeepStrictEqual(await read(image, signer), undefined)
    const header = image.length - CHUNK_BYTES - 500 - 2 * 16
    return async (random) => {
      // Most changes where there is something to read wrongly.
      const part = random(4) === 0 ? image : image.subarray(0, header)
      const changed = mutateBytes(random, part, [image.subarray(0, header)])
      const whole = new Uint8Array(Buffer.concat([changed, image.subarray(part.length)]))
      if (Buffer.compare(whole, image) !== 0) deepStrictEqual(await read(whole, signer), undefined)
    }
  },
}

function sampleGeneration(): Generation {
  const index = (
    nvIndex: number,
    attributes: number,
    dataSize: number,
  ): Generation['half']['breakGlass']['counter'] => {
    const nvPublic: TpmsNvPublic = { nvIndex, nameAlg: 0x000b, attributes, authPolicy: new Uint8Array(32), dataSize }
    return { handle: nvIndex, name: nvName(nvPublic, nodeCrypto.hash), nvPublic }
  }
  const point = new Uint8Array(65).fill(4)
  const [counter, lease] = [index(0x01803610, 0x22040014, 8), index(0x01803601, 0x22040008, 34)]
  const boots = [[{ pcr: 4, value: new Uint8Array(32).fill(1) }]]
  const breakGlass = { needed: 2, operators: [point, point], nonce: new Uint8Array(32), counter, unused: 5n }
  const sealed = { private: new Uint8Array(90), public: new Uint8Array(78) }
  return {
    mode: 'quorum',
    half: { host: 'web-1', epoch: 1, lease: { kind: 'index', index: lease }, breakGlass, sealed },
    ...{ imageBase: 4n, rosterBase: 5n, approvalsBase: 6n, threshold: 2 },
    leases: [{ boots, cap: { pcr: 14, value: new Uint8Array(32) }, resetCountMax: 9, clockMaxMs: 12n }],
    shareDigests: [new Uint8Array(32).fill(2), new Uint8Array(32).fill(3)],
    escrow: [{ index: 0, enc: point, ciphertext: new Uint8Array(49) }],
    keys: [{ version: 7, wrapped: new Uint8Array(60) }],
  }
}

export const recoveryGenerations: FuzzTarget = {
  name: 'recovery-generations',
  claim: 'a changed file of generations is refused, or means the same when it is written and read again',
  byDay: 1500,
  prepare() {
    const generation = sampleGeneration()
    const approvals = { kind: 'approvals', approver: new Uint8Array(65) } as const
    const other = { ...generation, half: { ...generation.half, epoch: 2, lease: approvals } }
    const samples = [
      encodeGenerations({ current: generation }),
      encodeGenerations({ current: generation, next: other }),
    ]
    for (const sample of samples) deepStrictEqual(encodeGenerations(decodeGenerations(sample)), sample)
    return Promise.resolve((random) => {
      const changed = mutateBytes(random, samples[random(samples.length)], samples)
      try {
        const decoded = decodeGenerations(changed)
        deepStrictEqual(decodeGenerations(encodeGenerations(decoded)), decoded)
      } catch (error) {
        if (!(error instanceof RecoveryError)) throw error
      }
    })
  },
}
