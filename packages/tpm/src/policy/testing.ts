/** What tests of policies share. */

import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { type PcrSelection, type PublicKey, pcrDigest, TPM_ALG, TPMA_NV, type TpmSignature } from '@reprise/core'
import type { Executor } from '../command.ts'
import { NvDefineSpace, type NvIndex, openNvIndex } from '../commands/nv.ts'
import { readPcrs } from '../commands/pcr.ts'
import { OWNER } from '../entity.ts'
import { hash } from '../hashing.ts'
import { externalSigner } from '../templates.ts'

export async function currentPcrDigest(tpm: Executor, selection: readonly PcrSelection[]): Promise<Uint8Array> {
  const digest = pcrDigest({ hash, algorithm: 'sha256', selection, banks: await readPcrs(tpm, selection) })
  if (digest === undefined) throw new Error('a PCR is missing')
  return digest
}

/** An index that the owner writes and reads. */
export async function defineNv(
  tpm: Executor,
  nvIndex: number,
  space: { readonly attributes?: number; readonly dataSize: number },
): Promise<NvIndex> {
  const attributes = (space.attributes ?? 0) | TPMA_NV.OWNERREAD | TPMA_NV.OWNERWRITE | TPMA_NV.NO_DA
  const publicInfo = {
    nvIndex,
    nameAlg: TPM_ALG.SHA256,
    attributes,
    authPolicy: new Uint8Array(),
    dataSize: space.dataSize,
  }
  await tpm.execute(NvDefineSpace({ authHandle: OWNER, publicInfo }))
  return openNvIndex(tpm, nvIndex)
}

/** Somebody with a P-256 key outside the TPM. */
export class Signer {
  readonly area: ReturnType<typeof externalSigner>
  readonly #key: KeyObject

  constructor() {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const { x = '', y = '' } = publicKey.export({ format: 'jwk' })
    const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64url'))
    const key: PublicKey = { kind: 'ec', curve: 'P-256', x: bytes(x), y: bytes(y) }
    this.area = externalSigner(key)
    this.#key = privateKey
  }

  sign(message: Uint8Array): TpmSignature {
    const signature = new Uint8Array(sign('sha256', message, { key: this.#key, dsaEncoding: 'ieee-p1363' }))
    return { scheme: { kind: 'ecdsa', hash: 'sha256' }, signature }
  }
}
