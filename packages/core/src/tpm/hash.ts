/** Hash algorithms by their TPM_ALG number and by the name that `Crypto` uses. */

import type { HashAlgorithm } from '../crypto.ts'
import { TPM_ALG } from './constants.ts'
import { structureError } from './structure.ts'

const HASHES: ReadonlyMap<number, { readonly name: HashAlgorithm; readonly lengthBytes: number }> = new Map([
  [TPM_ALG.SHA1, { name: 'sha1', lengthBytes: 20 }],
  [TPM_ALG.SHA256, { name: 'sha256', lengthBytes: 32 }],
  [TPM_ALG.SHA384, { name: 'sha384', lengthBytes: 48 }],
  [TPM_ALG.SHA512, { name: 'sha512', lengthBytes: 64 }],
])

export function isHashAlg(alg: number): boolean {
  return HASHES.has(alg)
}

/** @throws {@link EvidenceError} `STRUCTURE` for a hash that `Crypto` does not have, such as SM3. */
export function hashAlgorithm(alg: number): HashAlgorithm {
  const known = HASHES.get(alg)
  if (known === undefined) throw structureError(`hash algorithm 0x${alg.toString(16)} is not supported`)
  return known.name
}

/** The TPM_ALG number of a hash. */
export function hashAlg(name: HashAlgorithm): number {
  for (const [alg, known] of HASHES) if (known.name === name) return alg
  throw structureError(`hash algorithm ${name} has no TPM number`)
}

/** Length of a digest, in bytes. */
export function digestLengthBytes(alg: number): number {
  const known = HASHES.get(alg)
  if (known === undefined) throw structureError(`hash algorithm 0x${alg.toString(16)} is not supported`)
  return known.lengthBytes
}
