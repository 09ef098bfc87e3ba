/**
 * TPM2_MakeCredential without a TPM: hides a secret so that only a TPM which holds both the
 * endorsement key and the named object can get it back.
 *
 * Source: TCG TPM 2.0 Library rev 1.59, Part 1 §24.
 */

import { createCipheriv, randomBytes } from 'node:crypto'
import { ByteWriter, concat, digestLengthBytes, hashAlgorithm, TPM_ALG, type TpmtPublic } from '@reprise/core'
import { TpmError } from '../error.ts'
import { hmac, kdfa } from '../hashing.ts'
import { shareSecret } from './secret.ts'

export interface Credential {
  /** TPM2B_ID_OBJECT's contents. */
  readonly credentialBlob: Uint8Array
  /** TPM2B_ENCRYPTED_SECRET's contents. */
  readonly secret: Uint8Array
}

/**
 * @param request.key - Public area of the endorsement key, from its certificate's template or TPM2_ReadPublic.
 * @param request.objectName - Name of the attestation key.
 * @param request.credential - At most a digest of the endorsement key's nameAlg.
 */
export function makeCredential(request: {
  readonly key: TpmtPublic
  readonly objectName: Uint8Array
  readonly credential: Uint8Array
  readonly random?: (lengthBytes: number) => Uint8Array
}): Credential {
  const { key, objectName, credential, random = (lengthBytes) => new Uint8Array(randomBytes(lengthBytes)) } = request
  const symmetric = key.type === TPM_ALG.KEYEDHASH ? undefined : key.parameters.symmetric
  if (symmetric?.algorithm !== TPM_ALG.AES)
    throw new TpmError('USAGE', { message: 'The key is no storage key: it cannot protect a credential.' })
  const algorithm = hashAlgorithm(key.nameAlg)
  const { seed, encrypted } = shareSecret(key, 'IDENTITY', random)
  const storageKey = kdfa({
    algorithm,
    key: seed,
    label: 'STORAGE',
    contextU: objectName,
    lengthBits: symmetric.keyBits,
  })
  const cipher = createCipheriv(`aes-${symmetric.keyBits}-cfb`, storageKey, new Uint8Array(16))
  const encIdentity = concat(cipher.update(new ByteWriter().tpm2b(credential).done()), cipher.final())
  const integrityKey = kdfa({
    algorithm,
    key: seed,
    label: 'INTEGRITY',
    lengthBits: 8 * digestLengthBytes(key.nameAlg),
  })
  const integrity = hmac(algorithm, integrityKey, encIdentity, objectName)
  return { credentialBlob: new ByteWriter().tpm2b(integrity).raw(encIdentity).done(), secret: encrypted }
}
