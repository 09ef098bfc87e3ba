/** Bytes for one recipient: HPKE (RFC 9180) in base mode, P-256, HKDF-SHA256, AES-256-GCM, no AAD. Uses: spec/release.md §6, spec/operators.md §5. */
import { Aes256Gcm, CipherSuite, DhkemP256HkdfSha256, HkdfSha256 } from '@hpke/core'
import { Secret } from './secret.ts'

export interface SealedTo {
  /** Uncompressed point, 65 bytes. */
  readonly enc: Uint8Array
  /** With its tag of 16 bytes. */
  readonly ciphertext: Uint8Array
}

const suite = new CipherSuite({ kem: new DhkemP256HkdfSha256(), kdf: new HkdfSha256(), aead: new Aes256Gcm() })

function bufferOf(bytes: Uint8Array): ArrayBuffer {
  const copy = new ArrayBuffer(bytes.length)
  new Uint8Array(copy).set(bytes)
  return copy
}

/** @param recipient - Uncompressed point of P-256. @param info - Says what the bytes are for. */
export async function sealTo(recipient: Uint8Array, info: Uint8Array, bytes: Uint8Array): Promise<SealedTo> {
  const recipientPublicKey = await suite.kem.deserializePublicKey(bufferOf(recipient))
  const plain = bufferOf(bytes)
  const sealed = await suite.seal({ recipientPublicKey, info: bufferOf(info) }, plain)
  new Uint8Array(plain).fill(0)
  return { enc: new Uint8Array(sealed.enc), ciphertext: new Uint8Array(sealed.ct) }
}

/** @param privateKey - Scalar of P-256, 32 bytes. @throws Error when it is not for this key and purpose. */
export async function openSealed(
  { enc, ciphertext }: SealedTo,
  info: Uint8Array,
  privateKey: Uint8Array,
): Promise<Secret> {
  const recipientKey = await suite.kem.deserializePrivateKey(bufferOf(privateKey))
  const opening = { recipientKey, enc: bufferOf(enc), info: bufferOf(info) }
  return Secret.owning(new Uint8Array(await suite.open(opening, bufferOf(ciphertext))))
}
