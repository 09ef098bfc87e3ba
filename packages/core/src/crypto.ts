/**
 * The cryptography that `core` is handed: Node gives `node:crypto`, a page WebCrypto and noble's
 * synchronous hashes. `core` itself implements none.
 */

export type Sha256 = (data: Uint8Array) => Uint8Array

/** SHA-256 over bytes that come in pieces. */
export interface Sha256Stream {
  readonly update: (data: Uint8Array) => void
  /** Ends the stream. */
  readonly digest: () => Uint8Array
}

export type HashAlgorithm = 'sha1' | 'sha256' | 'sha384' | 'sha512'

/** A public key as its numbers, big-endian without leading zeros being required. */
export type PublicKey =
  | { readonly kind: 'ec'; readonly curve: 'P-256' | 'P-384' | 'P-521'; readonly x: Uint8Array; readonly y: Uint8Array }
  | { readonly kind: 'rsa'; readonly modulus: Uint8Array; readonly exponent: number }

/** ECDSA signatures are r ‖ s, each as long as the curve's field. */
export type SignatureScheme =
  | { readonly kind: 'ecdsa'; readonly hash: HashAlgorithm }
  | { readonly kind: 'rsassa'; readonly hash: HashAlgorithm }
  | { readonly kind: 'rsapss'; readonly hash: HashAlgorithm }

export interface Crypto {
  readonly sha256: Sha256
  readonly sha256Stream: () => Sha256Stream
  readonly hash: (algorithm: HashAlgorithm, data: Uint8Array) => Uint8Array
  /** False for a signature that does not hold and for a key that cannot be used. */
  readonly verify: (request: {
    readonly key: PublicKey
    readonly scheme: SignatureScheme
    readonly message: Uint8Array
    readonly signature: Uint8Array
  }) => boolean | Promise<boolean>
}
