/**
 * Hashes, HMAC and the two key derivation functions of the TPM.
 *
 * Source: TCG TPM 2.0 Library rev 1.59, Part 1 §11.4.10.2 (KDFa), §11.4.10.3 (KDFe).
 */

import { createHash, createHmac } from 'node:crypto'
import { ByteWriter, concat, type HashAlgorithm, utf8 } from '@reprise/core'

export function hash(algorithm: HashAlgorithm, data: Uint8Array): Uint8Array {
  return new Uint8Array(createHash(algorithm).update(data).digest())
}

export function hmac(algorithm: HashAlgorithm, key: Uint8Array, ...data: readonly Uint8Array[]): Uint8Array {
  const mac = createHmac(algorithm, key)
  for (const part of data) mac.update(part)
  return new Uint8Array(mac.digest())
}

const EMPTY = new Uint8Array()

/**
 * KDFa: SP 800-108 in counter mode, HMAC as PRF.
 *
 * @param derive.lengthBits - A multiple of 8.
 */
export function kdfa(derive: {
  readonly algorithm: HashAlgorithm
  readonly key: Uint8Array
  readonly label: string
  readonly contextU?: Uint8Array
  readonly contextV?: Uint8Array
  readonly lengthBits: number
}): Uint8Array {
  const { algorithm, key, label, contextU = EMPTY, contextV = EMPTY, lengthBits } = derive
  const fixed = concat(utf8(`${label}\0`), contextU, contextV, u32(lengthBits))
  return counterMode(lengthBits, (counter) => hmac(algorithm, key, counter, fixed))
}

/** KDFe: SP 800-56A over an ECDH secret `z`; U and V are the x coordinates of both parties. */
export function kdfe(derive: {
  readonly algorithm: HashAlgorithm
  readonly z: Uint8Array
  readonly label: string
  readonly partyU: Uint8Array
  readonly partyV: Uint8Array
  readonly lengthBits: number
}): Uint8Array {
  const { algorithm, z, label, partyU, partyV, lengthBits } = derive
  return counterMode(lengthBits, (counter) => hash(algorithm, concat(counter, z, utf8(`${label}\0`), partyU, partyV)))
}

function counterMode(lengthBits: number, block: (counter: Uint8Array) => Uint8Array): Uint8Array {
  const blocks: Uint8Array[] = []
  const lengthBytes = lengthBits / 8
  for (let got = 0, counter = 1; got < lengthBytes; counter++) {
    const next = block(u32(counter))
    blocks.push(next)
    got += next.length
  }
  return concat(...blocks).slice(0, lengthBytes)
}

function u32(value: number): Uint8Array {
  return new ByteWriter().u32(value).done()
}
