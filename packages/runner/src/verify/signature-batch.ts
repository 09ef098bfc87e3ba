/** Signatures to be checked, as they go to another thread: their bytes in one piece, which moves instead of being copied. */
import { concat, type Crypto, type PublicKey, type SignatureScheme } from '@reprise/core'

export type SignatureRequest = Parameters<Crypto['verify']>[0]

/** Who made a signature, and how. */
type Signer = Pick<SignatureRequest, 'key' | 'scheme'>

export interface SignatureBatch {
  /** Each once, however many signatures it made. */
  readonly signers: readonly Signer[]
  /** Of each signature: its signer's place among them, and the lengths of message and signature in bytes. */
  readonly numbers: Uint32Array
  /** Message and signature of each, one after the other. */
  readonly bytes: Uint8Array<ArrayBuffer>
}

/** One for each, in their order. */
export type SignatureAnswers = readonly boolean[]

const NUMBERS_OF_EACH = 3

export function packed(requests: readonly SignatureRequest[]): SignatureBatch {
  const signers: Signer[] = []
  // Numbers in one array: as objects they take longer on their way than the bytes.
  const numbers = new Uint32Array(NUMBERS_OF_EACH * requests.length)
  for (const [i, { key, scheme, message, signature }] of requests.entries()) {
    let place = signers.findIndex((signer) => isOf(signer, key, scheme))
    if (place < 0) place = signers.push({ key, scheme }) - 1
    numbers.set([place, message.length, signature.length], NUMBERS_OF_EACH * i)
  }
  return {
    signers: signers.map(({ key, scheme }) => ({ key: withItsOwnBytes(key), scheme })),
    numbers,
    bytes: concat(...requests.flatMap(({ message, signature }) => [message, signature])),
  }
}

function isOf(signer: Signer, key: PublicKey, { kind, hash }: SignatureScheme): boolean {
  return signer.key === key && signer.scheme.kind === kind && signer.scheme.hash === hash
}

/** Of an array, a message carries all of the memory that it is a part of. */
function withItsOwnBytes(key: PublicKey): PublicKey {
  return key.kind === 'ec' ? { ...key, x: key.x.slice(), y: key.y.slice() } : { ...key, modulus: key.modulus.slice() }
}

export function unpacked({ signers, numbers, bytes }: SignatureBatch): readonly SignatureRequest[] {
  const requests: SignatureRequest[] = []
  let at = 0
  const take = (lengthBytes: number): Uint8Array => bytes.subarray(at, (at += lengthBytes))
  for (let i = 0; i < numbers.length; i += NUMBERS_OF_EACH)
    requests.push({ ...signers[numbers[i]], message: take(numbers[i + 1]), signature: take(numbers[i + 2]) })
  return requests
}
