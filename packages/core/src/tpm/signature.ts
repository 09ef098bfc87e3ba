/**
 * TPMT_SIGNATURE, in the form that `Crypto.verify` takes.
 *
 * Source: TCG TPM 2.0 Library rev 1.59, Part 2 §11.3.4 (TPMT_SIGNATURE).
 */

import { ByteWriter } from '../bytes/index.ts'
import type { SignatureScheme } from '../crypto.ts'
import { TPM_ALG } from './constants.ts'
import { hashAlg, hashAlgorithm } from './hash.ts'
import { decodeExactly, structureError } from './structure.ts'

/** Lengths of the fields of P-256, P-384 and P-521, in bytes. */
const FIELD_LENGTHS_BYTES = [32, 48, 66]

export interface TpmSignature {
  readonly scheme: SignatureScheme
  /** ECDSA: r ‖ s, each as long as the curve's field. RSA: as long as the modulus. */
  readonly signature: Uint8Array
}

/** @throws {@link EvidenceError} `STRUCTURE` unless the bytes are exactly one ECDSA, RSASSA or RSAPSS signature. */
export function decodeTpmtSignature(bytes: Uint8Array): TpmSignature {
  return decodeExactly('TPMT_SIGNATURE', bytes, (reader) => {
    const sigAlg = reader.u16()
    switch (sigAlg) {
      case TPM_ALG.ECDSA: {
        const hash = hashAlgorithm(reader.u16())
        return { scheme: { kind: 'ecdsa', hash }, signature: joinEcdsa(reader.tpm2b(), reader.tpm2b()) }
      }
      case TPM_ALG.RSASSA:
      case TPM_ALG.RSAPSS: {
        const hash = hashAlgorithm(reader.u16())
        return { scheme: { kind: sigAlg === TPM_ALG.RSASSA ? 'rsassa' : 'rsapss', hash }, signature: reader.tpm2b() }
      }
      default:
        throw structureError(`TPMT_SIGNATURE with algorithm 0x${sigAlg.toString(16)} is not supported`)
    }
  })
}

/**
 * TPMT_SIGNATURE does not name its curve, and a chip may leave out leading zeros. The smallest field
 * that holds both numbers is the right one: an honest signature falls short of its own field by as
 * much as the distance to the next smaller one with probability 2^-256, and then merely fails to verify.
 */
function joinEcdsa(r: Uint8Array, s: Uint8Array): Uint8Array {
  const longest = Math.max(r.length, s.length)
  const lengthBytes = FIELD_LENGTHS_BYTES.find((field) => longest <= field)
  if (lengthBytes === undefined || r.length === 0 || s.length === 0)
    throw structureError(`ECDSA numbers of ${r.length} and ${s.length} bytes`)
  const joined = new Uint8Array(2 * lengthBytes)
  joined.set(r, lengthBytes - r.length)
  joined.set(s, 2 * lengthBytes - s.length)
  return joined
}

/** TPMT_SIGNATURE as TPM2_VerifySignature and TPM2_PolicySigned take it. */
export function encodeTpmtSignature({ scheme, signature }: TpmSignature): Uint8Array {
  if (scheme.kind === 'ecdsa') {
    const half = signature.length / 2
    return new ByteWriter()
      .u16(TPM_ALG.ECDSA)
      .u16(hashAlg(scheme.hash))
      .tpm2b(signature.subarray(0, half))
      .tpm2b(signature.subarray(half))
      .done()
  }
  return new ByteWriter()
    .u16(scheme.kind === 'rsassa' ? TPM_ALG.RSASSA : TPM_ALG.RSAPSS)
    .u16(hashAlg(scheme.hash))
    .tpm2b(signature)
    .done()
}
