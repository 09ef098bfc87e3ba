/** The key of a certificate, for all ways in which makers of TPMs mark it. */

import { createPublicKey, type KeyObject } from 'node:crypto'
import { AsnConvert } from '@peculiar/asn1-schema'
import { Certificate } from '@peculiar/asn1-x509'

const RSA_ENCRYPTION = '1.2.840.113549.1.1.1'
/** Some makers say that an endorsement key is for this padding alone; OpenSSL then does not read it. */
const RSAES_OAEP = '1.2.840.113549.1.1.7'

/** @returns Undefined for bytes that are no certificate, and for keys that are neither RSA nor on a known curve. */
export function certificateKey(der: Uint8Array): KeyObject | undefined {
  try {
    const { subjectPublicKeyInfo: info } = AsnConvert.parse(der, Certificate).tbsCertificate
    const { algorithm } = info.algorithm
    return algorithm === RSA_ENCRYPTION || algorithm === RSAES_OAEP
      ? createPublicKey({ key: Buffer.from(info.subjectPublicKey), format: 'der', type: 'pkcs1' })
      : createPublicKey({ key: Buffer.from(AsnConvert.serialize(info)), format: 'der', type: 'spki' })
  } catch {
    return undefined
  }
}
