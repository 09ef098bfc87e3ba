/** Keys of people in files: P-256, PKCS #8 in PEM, with or without a passphrase. */
import { createECDH, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { fromUtf8, hex } from '@reprise/core'
import { RecoveryError } from '../error.ts'
import { Secret } from '../sealing/secret.ts'
import type { Signer } from './signatures.ts'

export const KEY_BYTES_MAX = 1 << 14

/** A key that signs, or that opens what is in escrow. */
export interface PersonKey extends Signer {
  /** The private scalar, 32 bytes; the caller's to wipe. */
  readonly scalar: () => Secret
}

/** @param passphrase - Encrypts the file with AES-256-CBC; a key without one is as safe as its file. */
export function makeKey(passphrase: string | undefined): { readonly pem: string; readonly point: string } {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const encryption = passphrase === undefined ? {} : { cipher: 'aes-256-cbc', passphrase }
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem', ...encryption })
  return { pem, point: pointOf(privateKey) }
}

/** Whether a passphrase is wanted. */
export function isEncryptedKey(pem: Uint8Array): boolean {
  return Buffer.from(pem.subarray(0, KEY_BYTES_MAX)).includes('-----BEGIN ENCRYPTED PRIVATE KEY-----')
}

/**
 * @param shown - Name of the file in messages.
 * @throws {@link RecoveryError} `KEY` for what is no private key of P-256, or another passphrase.
 */
export function readKey(pem: Uint8Array, shown: string, passphrase?: string): PersonKey {
  const key = privateKeyOf(pem, shown, passphrase)
  if (key.asymmetricKeyType !== 'ec' || key.asymmetricKeyDetails?.namedCurve !== 'prime256v1')
    throw refused(shown, 'it is no key of P-256', 'make one: reprise recovery keys new NAME -o FILE')
  const point = pointOf(key)
  using scalar = scalarOf(key)
  // OpenSSL takes both halves as they stand in the file.
  if (pointOfScalar(scalar) !== point)
    throw refused(shown, 'its public half is not that of its private half', 'the file was changed: take another copy')
  return {
    point,
    sign: (message) => new Uint8Array(sign('sha256', message, { key, dsaEncoding: 'ieee-p1363' })),
    scalar: () => scalarOf(key),
  }
}

function scalarOf(key: KeyObject): Secret {
  return Secret.owning(Buffer.from(key.export({ format: 'jwk' }).d ?? '', 'base64url'))
}

function pointOfScalar({ bytes }: Secret): string | undefined {
  const half = createECDH('prime256v1')
  try {
    half.setPrivateKey(bytes)
    return half.getPublicKey('hex')
  } catch {
    // Zero, or not below the order of the group.
    return undefined
  }
}

function privateKeyOf(pem: Uint8Array, shown: string, passphrase: string | undefined): KeyObject {
  try {
    if (pem.length > KEY_BYTES_MAX) throw new RangeError(`it has more than ${KEY_BYTES_MAX} bytes`)
    return createPrivateKey({ key: fromUtf8(pem), ...(passphrase !== undefined && { passphrase }) })
  } catch (cause) {
    if (isEncryptedKey(pem))
      throw refused(
        shown,
        passphrase === undefined ? 'it has a passphrase' : 'this is not its passphrase',
        'give the passphrase: --passphrase-file FILE, or type it in a terminal',
      )
    throw refused(shown, (cause as Error).message, 'name the file that reprise recovery keys new made')
  }
}

/** The reason is left out: what a parser says of a key may have some of it. */
function refused(shown: string, why: string, hint: string): RecoveryError {
  return new RecoveryError('KEY', { message: `${shown} is not a key that can be used: ${why}.`, hint })
}

function pointOf(key: KeyObject): string {
  const { x = '', y = '' } = createPublicKey(key).export({ format: 'jwk' })
  return `04${[x, y].map((part) => hex(Buffer.from(part, 'base64url'))).join('')}`
}
