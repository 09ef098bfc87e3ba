/** Checks an image and decrypts it chunk by chunk, in bounded memory. Rules: spec/release.md §11.4. */

import { hash } from 'node:crypto'
import { ByteReader, equal } from '@reprise/core'
import { RecoveryError } from '../../error.ts'
import type { Secret } from '../secret.ts'
import { decryptChunk, discard, TAG_BYTES } from './chunks.ts'
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
/** Read at a time. */
const BATCH_BYTES = 1 << 20

function damaged({ where }: ImageSource, what: string): RecoveryError {
  return new RecoveryError('IMAGE', {
    message: `${where}: ${what}.`,
    hint: 'The image is damaged, cut or mixed with another one. Bring it again; nothing of it was used.',
  })
}

async function fill(source: ImageSource, position: number, target: Uint8Array): Promise<void> {
  for (let got = 0; got < target.length;) {
    const more = await source.read(target.subarray(got), position + got)
    if (more === 0)
      throw damaged(source, `it ends at byte ${position + got}, where ${target.length - got} more are expected`)
    got += more
  }
}

async function readExactly(source: ImageSource, position: number, lengthBytes: number): Promise<Uint8Array> {
  const target = new Uint8Array(lengthBytes)
  await fill(source, position, target)
  return target
}

/** @throws {@link RecoveryError} `IMAGE` when it is no image, is damaged or signed by nobody known, `IMAGE_OLD`. */
export async function openImage(
  source: ImageSource,
  trust: { readonly signers: readonly Uint8Array[]; readonly floors: ImageFloors },
): Promise<OpenImage> {
  const { signed, end } = await readEnvelope(source)
  checkManifest(signed, trust)
  return await openTable(source, signed.manifest, end)
}

/**
 * For people: what an image says of itself, whoever signed it. Its table is checked, and no chunk.
 *
 * @throws {@link RecoveryError} `IMAGE` when it is no image, or is damaged.
 */
export async function inspectImage(source: ImageSource): Promise<OpenImage & { readonly signature: Uint8Array }> {
  const { signed, end } = await readEnvelope(source)
  return { ...(await openTable(source, signed.manifest, end)), signature: signed.signature }
}

async function readEnvelope(source: ImageSource): Promise<{ readonly signed: SignedManifest; readonly end: number }> {
  const head = new ByteReader(await readExactly(source, 0, HEADER_BYTES))
  if (!equal(head.raw(MAGIC.length), MAGIC)) throw damaged(source, 'it does not begin like an image')
  const envelopeBytes = head.u32()
  if (envelopeBytes > ENVELOPE_BYTES_MAX) throw damaged(source, `its manifest has ${envelopeBytes} bytes`)
  const signed = decodeManifest(await readExactly(source, HEADER_BYTES, envelopeBytes))
  return { signed, end: HEADER_BYTES + envelopeBytes }
}

async function openTable(source: ImageSource, manifest: ImageManifest, tableAt: number): Promise<OpenImage> {
  const total = chunkCount(manifest.payload)
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
 * Decrypts the image. Each chunk is given out only when its digest is the table's and its tag holds; it is wiped and
 * taken away when the next one is asked for. Two batches and a chunk are in memory.
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
  for await (const { first, chunks } of readBatches(image)) {
    for (const [i, encrypted] of chunks.entries()) {
      const plain = checkAndDecrypt(image, key, { index: first + i, encrypted })
      try {
        yield plain
      } finally {
        discard(plain)
      }
    }
  }
}

/** Chunks that were read together, as they are in the file. */
interface Batch {
  /** Index of the first one. */
  readonly first: number
  readonly chunks: readonly Uint8Array[]
}

/** Each batch is read while the one before it is decrypted, into the same memory again and again: fresh pages cost more than AES. */
async function* readBatches(image: OpenImage): AsyncGenerator<Batch, void, void> {
  const { chunkBytes, lengthBytes } = image.manifest.payload
  const step = chunkBytes + TAG_BYTES
  const total = chunkCount(image.manifest.payload)
  const perBatch = Math.max(1, Math.floor(BATCH_BYTES / chunkBytes))
  const buffers = [new Uint8Array(perBatch * step), new Uint8Array(perBatch * step)] as const
  const read = async (first: number): Promise<Batch> => {
    const count = Math.min(perBatch, total - first)
    const end = Math.min((first + count) * step, lengthBytes + total * TAG_BYTES)
    const all = buffers[(first / perBatch) % 2].subarray(0, end - first * step)
    await fill(image.source, image.start + first * step, all)
    return { first, chunks: Array.from({ length: count }, (_, i) => all.subarray(i * step, (i + 1) * step)) }
  }
  let next = read(0)
  try {
    for (let first = 0; first < total; first += perBatch) {
      const batch = await next
      if (first + perBatch < total) {
        next = read(first + perBatch)
        // Whoever stops early never awaits it.
        next.catch(() => undefined)
      }
      yield batch
    }
  } finally {
    await next.catch(() => undefined)
  }
}

function checkAndDecrypt(
  { manifest, source, table }: OpenImage,
  key: Secret,
  { index, encrypted }: { readonly index: number; readonly encrypted: Uint8Array },
): Uint8Array<ArrayBuffer> {
  const total = table.length / 32
  const expected = table.subarray(index * 32, index * 32 + 32)
  const digest = hash('sha256', encrypted, 'buffer')
  const named = `chunk ${index} of ${total}`
  if (!equal(digest, expected)) {
    throw damaged(source, `${named} has the digest ${shown(digest)}, the manifest's table says ${shown(expected)}`)
  }
  const plain = decryptChunk(key, { version: manifest.version, index, total }, encrypted)
  if (plain !== undefined) return plain
  throw damaged(source, `${named}, digest ${shown(digest)}, was not encrypted for this place with this key`)
}
