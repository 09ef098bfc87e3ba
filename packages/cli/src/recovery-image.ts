/** What the commands of images read: keys, and small files. */
import { createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto'
import { open } from 'node:fs/promises'
import { fromHex, hex } from '@reprise/core'
import { RecoveryError } from '@reprise/recovery'

const FILE_BYTES_MAX = 1 << 20

/** @throws RecoveryError `USAGE` when it cannot be read, or is larger than 1 MiB. */
export async function readSmallFile(path: string): Promise<Uint8Array> {
  try {
    await using file = await open(path, 'r')
    const buffer = new Uint8Array(FILE_BYTES_MAX + 1)
    let length = 0
    for (let got = -1; got !== 0 && length < buffer.length; length += got)
      got = (await file.read(buffer, length, buffer.length - length)).bytesRead
    if (length > FILE_BYTES_MAX) throw new RangeError(`it has more than ${FILE_BYTES_MAX} bytes`)
    return buffer.subarray(0, length)
  } catch (cause) {
    throw new RecoveryError('USAGE', {
      message: `${path} cannot be read: ${(cause as Error).message}`,
      hint: 'Check the spelling, and that this user may read it.',
      cause,
    })
  }
}

export interface ImageSigner {
  /** Uncompressed, hex. */
  readonly point: string
  readonly sign: (message: Uint8Array) => Uint8Array
}

/** @throws RecoveryError `USAGE` when it is no private key of P-256 without a passphrase. What a parser says is left out: it may have some of the key. */
export function imageSigner(pem: Uint8Array, shown: string): ImageSigner {
  const key = keyOf(() => createPrivateKey(Buffer.from(pem)), shown)
  return {
    point: pointOf(createPublicKey(key)),
    sign: (message) => new Uint8Array(sign('sha256', message, { key, dsaEncoding: 'ieee-p1363' })),
  }
}

/** A signer by its PEM (the public key, or the private one) or its point in hex. */
export async function signerPoint(text: string): Promise<Uint8Array> {
  if (/^04[0-9a-f]{128}$/.test(text)) return fromHex(text)
  const pem = Buffer.from(await readSmallFile(text))
  return fromHex(pointOf(keyOf(() => createPublicKey(pem), text)))
}

function keyOf(read: () => KeyObject, shown: string): KeyObject {
  let key: KeyObject | undefined
  try {
    key = read()
  } catch {
    // Said below.
  }
  if (key?.asymmetricKeyDetails?.namedCurve === 'prime256v1') return key
  throw new RecoveryError('USAGE', {
    message: `${shown} is no key of P-256 that can be used here.`,
    hint: 'Give PEM without a passphrase, as of: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256',
  })
}

function pointOf(key: KeyObject): string {
  const { x = '', y = '' } = key.export({ format: 'jwk' })
  return `04${[x, y].map((part) => hex(Buffer.from(part, 'base64url'))).join('')}`
}
