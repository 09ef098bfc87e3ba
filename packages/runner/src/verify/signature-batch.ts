/** Signatures to be checked, as they go to another thread: their bytes in one piece, which moves instead of being copied. */
import { concat, type Crypto, type PublicKey, type SignatureScheme } from '@reprise/core'

export type SignatureRequest = Parameters<Crypto['verify']>[0]

export interface SignatureBatch {
  /** Each once, however many signatures it made. */
  readonly keys: readonly PublicKey[]
  readonly signed: readonly {
    /** Its place among `keys`. */
    readonly key: number
    readonly scheme: SignatureScheme
    readonly messageBytes: number
    readonly signatureBytes: number
  }[]
  /** Message and signature of each, one after the other. */
  readonly bytes: Uint8Array<ArrayBuffer>
}

/** One for each, in their order. */
export type SignatureAnswers = readonly boolean[]

export function packed(requests: readonly SignatureRequest[]): SignatureBatch {
  const keys = [...new Set(requests.map(({ key }) => key))]
  const places = new Map(keys.map((key, i) => [key, i]))
  return {
    keys: keys.map(withItsOwnBytes),
    signed: requests.map(({ key, scheme, message, signature }) => ({
      key: places.get(key) ?? 0,
      scheme,
      messageBytes: message.length,
      signatureBytes: signature.length,
    })),
    bytes: concat(...requests.flatMap(({ message, signature }) => [message, signature])),
  }
}

/** Of an array, a message carries all of the memory that it is a part of. */
function withItsOwnBytes(key: PublicKey): PublicKey {
  return key.kind === 'ec' ? { ...key, x: key.x.slice(), y: key.y.slice() } : { ...key, modulus: key.modulus.slice() }
}

export function unpacked({ keys, signed, bytes }: SignatureBatch): readonly SignatureRequest[] {
  let at = 0
  const take = (lengthBytes: number): Uint8Array => bytes.subarray(at, (at += lengthBytes))
  return signed.map(({ key, scheme, messageBytes, signatureBytes }) => ({
    key: keys[key],
    scheme,
    message: take(messageBytes),
    signature: take(signatureBytes),
  }))
}
