/** The signed manifest of an image. Format: spec/release.md §11.2. */

import { createPublicKey, verify } from 'node:crypto'
import { canonical, hex, parseCanonicalBytes, utf8 } from '@reprise/core'
import { bytes, type Decode, integer, list, object, oneOf, text, toJson } from '@reprise/host/decode'
import { RecoveryError } from '../../error.ts'
import { sha256, tagged } from '../words.ts'

/** What the payload is; `bytes` is anything, such as a kernel with its initrd. */
export type PayloadKind = 'erofs' | 'squashfs' | 'bytes'

export interface ImagePayload {
  readonly kind: PayloadKind
  /** Of the plain payload. */
  readonly lengthBytes: number
  /** Of the plain payload, for whoever builds it again; opening an image does not need it. */
  readonly sha256: Uint8Array
  readonly chunkBytes: number
  /** Over the digests of all chunks as they are encrypted, and their number. */
  readonly root: Uint8Array
  /** Says which key it is, so that nobody gives another one under which the same bytes mean something else. */
  readonly keyCommitment: Uint8Array
}

export interface ImageManifest {
  readonly schema: 'reprise/image/v1'
  readonly name: string
  /** Counts up; a host takes none below its floor. The same for the two below. */
  readonly version: number
  /** The roster that was known when the image was made. */
  readonly roster: number
  readonly approvals: number
  /** Names of the services in it. */
  readonly services: readonly string[]
  readonly payload: ImagePayload
}

export interface SignedManifest {
  readonly manifest: ImageManifest
  /** ECDSA with SHA-256 over {@link manifestMessage}: r ‖ s. */
  readonly signature: Uint8Array
}

/** An image begins with these 16 bytes. */
export const MAGIC = utf8('reprise/image/v1')
export const CHUNK_BYTES_MIN = 1 << 16
export const CHUNK_BYTES_MAX = 1 << 22
/** 64 GiB. */
export const PAYLOAD_BYTES_MAX = 2 ** 36
export const ENVELOPE_BYTES_MAX = 1 << 18
const SERVICES_MAX = 1024

const name: Decode<string> = (value, path) => {
  const found = text(64)(value, path)
  if (/^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$/.test(found)) return found
  throw new TypeError(`${path} must be of a-z 0-9 . _ -, beginning and ending with a letter or digit`)
}
const chunkBytes: Decode<number> = (value, path) => {
  const size = integer(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX)(value, path)
  if ((size & (size - 1)) === 0) return size
  throw new TypeError(`${path} must be a power of two`)
}

const signed = object<SignedManifest>({
  manifest: object<ImageManifest>({
    schema: oneOf('reprise/image/v1'),
    name,
    version: integer(0),
    roster: integer(0),
    approvals: integer(0),
    services: list(name, SERVICES_MAX),
    payload: object<ImagePayload>({
      kind: oneOf('erofs', 'squashfs', 'bytes'),
      lengthBytes: integer(1, PAYLOAD_BYTES_MAX),
      sha256: bytes(32),
      chunkBytes,
      root: bytes(32),
      keyCommitment: bytes(32),
    }),
  }),
  signature: bytes(64),
})

/** What is signed, before hashing with SHA-256. */
export function manifestMessage(manifest: ImageManifest): Uint8Array {
  return tagged('reprise/image/v1')
    .raw(utf8(canonical(toJson(manifest))))
    .done()
}

export function encodeManifest(envelope: SignedManifest): Uint8Array {
  return utf8(canonical(toJson(envelope)))
}

/** @throws {@link RecoveryError} `IMAGE` unless the bytes are exactly one canonical envelope. */
export function decodeManifest(content: Uint8Array): SignedManifest {
  try {
    return signed(parseCanonicalBytes(content, ENVELOPE_BYTES_MAX), 'image')
  } catch (cause) {
    throw new RecoveryError('IMAGE', {
      message: `The manifest of the image is none: ${(cause as Error).message}`,
      hint: 'The file is damaged, or of another version of Reprise. Bring it again.',
      cause,
    })
  }
}

export function chunkCount({ lengthBytes, chunkBytes }: Pick<ImagePayload, 'lengthBytes' | 'chunkBytes'>): number {
  return Math.ceil(lengthBytes / chunkBytes)
}

/** Over the table of the chunks' digests. */
export function chunksRoot(table: Uint8Array): Uint8Array {
  return sha256(
    tagged('reprise/image-chunks/v1')
      .u64(BigInt(table.length / 32))
      .done(),
    table,
  )
}

export function keyCommitment(key: Uint8Array): Uint8Array {
  return sha256(tagged('reprise/image-key/v1').done(), key)
}

/** Below which numbers an image is refused: the floors of this host. */
export interface ImageFloors {
  readonly version: number
  readonly roster: number
  readonly approvals: number
}

/**
 * Whether one of these keys signed the manifest, and it is not older than this host takes.
 *
 * @param signers - Uncompressed points of P-256.
 * @throws {@link RecoveryError} `IMAGE` for a signature by nobody of them, `IMAGE_OLD` with the number that is too low.
 */
export function checkManifest(
  { manifest, signature }: SignedManifest,
  { signers, floors }: { readonly signers: readonly Uint8Array[]; readonly floors: ImageFloors },
): void {
  const message = manifestMessage(manifest)
  if (!signers.some((point) => isSignedBy(point, message, signature))) {
    throw new RecoveryError('IMAGE', {
      message: `Image ${manifest.name}, version ${manifest.version}, is signed by none of the ${signers.length} keys that this host trusts.`,
      hint: 'Have it signed by one of them, or put the signer into the plan.',
    })
  }
  for (const number of ['version', 'roster', 'approvals'] as const) {
    if (manifest[number] >= floors[number]) continue
    throw new RecoveryError('IMAGE_OLD', {
      message: `Image ${manifest.name} has ${number} ${manifest[number]}; the TPM of this host takes none below ${floors[number]}.`,
      hint: 'An older image was brought back. Use the newest one.',
      data: { number, is: manifest[number], floor: floors[number] },
    })
  }
}

function isSignedBy(point: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  const part = (from: number): string => Buffer.from(point.subarray(from, from + 32)).toString('base64url')
  try {
    const key = createPublicKey({ key: { kty: 'EC', crv: 'P-256', x: part(1), y: part(33) }, format: 'jwk' })
    return verify('sha256', message, { key, dsaEncoding: 'ieee-p1363' }, signature)
  } catch {
    return false // A point that is not on its curve.
  }
}

/** Whether the key of this uncompressed point of P-256 signed the manifest. */
export function isImageSignedBy(point: Uint8Array, { manifest, signature }: SignedManifest): boolean {
  return isSignedBy(point, manifestMessage(manifest), signature)
}

/** For messages: the first bytes of a digest. */
export function shown(digest: Uint8Array): string {
  return `${hex(digest.subarray(0, 8))}…`
}
