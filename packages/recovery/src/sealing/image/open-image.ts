/** Checks an image and decrypts it chunk by chunk, in bounded memory. Rules: spec/release.md §11.4. */

import { ByteReader, equal } from '@reprise/core'
import { RecoveryError } from '../../error.ts'
import type { Secret } from '../secret.ts'
import { decryptChunk, TAG_BYTES } from './chunks.ts'
import {
  checkManifest,
  chunkCount,
  chunksRoot,
  decodeManifest,
  ENVELOPE_BYTES_MAX,
  type ImageFloors,
  type ImageManifest,
  keyCommitment,
  MAGIC,
  shown,
  type SignedManifest,
} from './manifest.ts'

/** Where an image is read from. */
export interface ImageSource {
  /** For messages. */
  readonly where: string
  readonly sizeBytes: number
  /** Fills `target` from `position` on. @returns How many bytes there were. */
  readonly read: (target: Uint8Array, position: number) => Promise<number>
}

/** An image whose manifest and table were checked, and no chunk yet. */
export interface OpenImage {
  readonly manifest: ImageManifest
  readonly source: ImageSource
  /** 32 bytes for each chunk. */
  readonly table: Uint8Array
  /** Where the first chunk begins. */
  readonly start: number
}

const HEADER_BYTES = MAGIC.length + 4
/** Chunks that are read and digested ahead of the one that is decrypted. */
const AHEAD = 2

function damaged({ where }: ImageSource, what: string): RecoveryError {
  return new RecoveryError('IMAGE', {
    message: `${where}: ${what}.`,
    hint: 'The image is damaged, cut or mixed with another one. Bring it again; nothing of it was used.',
  })
}

async function readExactly(
  source: ImageSource,
  position: number,
  lengthBytes: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const target = new Uint8Array(lengthBytes)
  for (let got = 0; got < lengthBytes;) {
    const more = await source.read(target.subarray(got), position + got)
    if (more === 0)
      throw damaged(source, `it ends at byte ${position + got}, where ${lengthBytes - got} more are expected`)
    got += more
  }
  return target
}

/** @throws {@link RecoveryError} `IMAGE` when it is no image, is damaged or signed by nobody known, `IMAGE_OLD`. */
export async function openImage(
  source: ImageSource,
  trust: { readonly signers: readonly Uint8Array[]; readonly floors: ImageFloors },
): Promise<OpenImage> {
  const head = new ByteReader(await readExactly(source, 0, HEADER_BYTES))
  if (!equal(head.raw(MAGIC.length), MAGIC)) throw damaged(source, 'it does not begin like an image')
  const envelopeBytes = head.u32()
  if (envelopeBytes > ENVELOPE_BYTES_MAX) throw damaged(source, `its manifest has ${envelopeBytes} bytes`)
  const signed: SignedManifest = decodeManifest(await readExactly(source, HEADER_BYTES, envelopeBytes))
  checkManifest(signed, trust)
  const { manifest } = signed
  const total = chunkCount(manifest.payload)
  const tableAt = HEADER_BYTES + envelopeBytes
  const table = await readExactly(source, tableAt, 32 * total)
  const root = chunksRoot(table)
  if (!equal(root, manifest.payload.root))
    throw damaged(source, `its chunks have the root ${shown(root)}, the manifest says ${shown(manifest.payload.root)}`)
  const start = tableAt + table.length
  const expected = start + manifest.payload.lengthBytes + total * TAG_BYTES
  if (source.sizeBytes !== expected)
    throw damaged(source, `it has ${source.sizeBytes} bytes, and should have ${expected}`)
  return { manifest, source, table, start }
}

/**
 * Decrypts the image. Each chunk is given out only when its digest is the table's and its tag holds; it is wiped when the next
 * one is asked for. At most {@link AHEAD} + 2 chunks are in memory.
 *
 * @throws {@link RecoveryError} `CONTENT_KEY` for another key, `IMAGE` with the chunk and both digests.
 */
export async function* decryptImage(image: OpenImage, key: Secret): AsyncGenerator<Uint8Array, void, void> {
  const { manifest } = image
  if (!equal(keyCommitment(key.bytes), manifest.payload.keyCommitment)) {
    throw new RecoveryError('CONTENT_KEY', {
      message: `The key is not the one of image ${manifest.name}, version ${manifest.version}.`,
      hint: 'Prepare a generation with the key of this version.',
    })
  }
  const total = chunkCount(manifest.payload)
  const ahead: Promise<Read>[] = []
  try {
    for (let index = 0; index < total; index++) {
      for (let next = index + ahead.length; next < Math.min(total, index + 1 + AHEAD); next++) {
        const reading = readChunk(image, next, total)
        // Whoever stops early never awaits it.
        reading.catch(() => undefined)
        ahead.push(reading)
      }
      const { encrypted, digest } = (await ahead.shift()) as Read
      const expected = image.table.subarray(index * 32, index * 32 + 32)
      const named = `chunk ${index} of ${total}`
      if (!equal(digest, expected))
        throw damaged(
          image.source,
          `${named} has the digest ${shown(digest)}, the manifest's table says ${shown(expected)}`,
        )
      const plain = decryptChunk(key, { version: manifest.version, index, total }, encrypted)
      if (plain === undefined)
        throw damaged(image.source, `${named}, digest ${shown(digest)}, was not encrypted for this place with this key`)
      try {
        yield plain
      } finally {
        plain.fill(0)
      }
    }
  } finally {
    await Promise.allSettled(ahead)
  }
}

interface Read {
  readonly encrypted: Uint8Array
  readonly digest: Uint8Array
}

async function readChunk({ manifest, source, start }: OpenImage, index: number, total: number): Promise<Read> {
  const { lengthBytes, chunkBytes } = manifest.payload
  const plainBytes = index === total - 1 ? lengthBytes - index * chunkBytes : chunkBytes
  const encrypted = await readExactly(source, start + index * (chunkBytes + TAG_BYTES), plainBytes + TAG_BYTES)
  // In a thread of its own, beside the decryption of the chunk before.
  return { encrypted, digest: new Uint8Array(await crypto.subtle.digest('SHA-256', encrypted)) }
}
