/** Encrypts a payload into an image. Format: spec/release.md §11. */

import { createHash } from 'node:crypto'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { ByteWriter, concat } from '@reprise/core'
import { RecoveryError } from '../../error.ts'
import type { Secret } from '../secret.ts'
import { sha256 } from '../words.ts'
import { encryptChunk } from './chunks.ts'
import {
  chunkCount,
  chunksRoot,
  encodeManifest,
  type ImageManifest,
  keyCommitment,
  MAGIC,
  manifestMessage,
  PAYLOAD_BYTES_MAX,
  type PayloadKind,
} from './manifest.ts'

/** For each chunk a cipher is made anew, which costs as much as 30 kB of AES. */
const CHUNK_BYTES = 1 << 20

export interface SealImageRequest {
  /** Path of the plain payload. */
  readonly payload: string
  /** Path of the image. */
  readonly target: string
  readonly kind: PayloadKind
  /** 32 random bytes that never encrypted anything else. */
  readonly key: Secret
  readonly about: Pick<ImageManifest, 'name' | 'version' | 'roster' | 'approvals' | 'services'>
  /** ECDSA on P-256 with SHA-256: r ‖ s. */
  readonly sign: (message: Uint8Array) => Uint8Array | Promise<Uint8Array>
  readonly chunkBytes?: number
}

/**
 * The image is at `target` when it is whole and on disk, or not at all.
 *
 * @throws {@link RecoveryError} `IMAGE` for a payload that is empty, too large, or changes meanwhile.
 */
export async function sealImage(request: SealImageRequest): Promise<ImageManifest> {
  const unfinished = `${request.target}.unfinished`
  const source = await open(request.payload, 'r')
  try {
    const { size } = await source.stat()
    if (size === 0 || size > PAYLOAD_BYTES_MAX) throw payloadRefused(request, `has ${size} bytes`)
    const target = await open(unfinished, 'w', 0o600)
    try {
      const manifest = await writeImage({ source, target, size }, request)
      await target.sync()
      await rename(unfinished, request.target)
      await syncFolder(dirname(request.target))
      return manifest
    } finally {
      await target.close()
      await rm(unfinished, { force: true })
    }
  } finally {
    await source.close()
  }
}

async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, 'r')
  await folder.sync()
}

function payloadRefused({ payload }: SealImageRequest, why: string): RecoveryError {
  return new RecoveryError('IMAGE', {
    message: `${payload} ${why}.`,
    hint: `An image takes 1 to ${PAYLOAD_BYTES_MAX} bytes, which nobody changes meanwhile.`,
  })
}

interface Files {
  readonly source: FileHandle
  readonly target: FileHandle
  readonly size: number
}

/** The chunks first, for the manifest has their root; its length is known before. */
async function writeImage(files: Files, request: SealImageRequest): Promise<ImageManifest> {
  const { key, chunkBytes = CHUNK_BYTES } = request
  const draft = manifestOf(request, {
    lengthBytes: files.size,
    chunkBytes,
    sha256: new Uint8Array(32),
    root: new Uint8Array(32),
  })
  const total = chunkCount(draft.payload)
  const start = header(draft, new Uint8Array(64)).length + total * 32
  const table = new Uint8Array(total * 32)
  const whole = createHash('sha256')
  for (let index = 0, at = start; index < total; index++) {
    const plain = await readPlain(files, request, { from: index * chunkBytes, chunkBytes })
    whole.update(plain)
    const parts = encryptChunk(key, { version: draft.version, index, total }, plain)
    plain.fill(0)
    table.set(sha256(...parts), index * 32)
    for (const part of parts) at += await writeAll(files.target, part, at)
  }
  const payload = {
    lengthBytes: files.size,
    chunkBytes,
    sha256: new Uint8Array(whole.digest()),
    root: chunksRoot(table),
  }
  const manifest = manifestOf(request, payload)
  const signature = await request.sign(manifestMessage(manifest))
  await writeAll(files.target, concat(header(manifest, signature), table), 0)
  return manifest
}

async function writeAll(target: FileHandle, bytes: Uint8Array, position: number): Promise<number> {
  for (let done = 0; done < bytes.length;)
    done += (await target.write(bytes, done, bytes.length - done, position + done)).bytesWritten
  return bytes.length
}

async function readPlain(
  { source, size }: Files,
  request: SealImageRequest,
  { from, chunkBytes }: { readonly from: number; readonly chunkBytes: number },
): Promise<Uint8Array> {
  const plain = new Uint8Array(Math.min(chunkBytes, size - from))
  const { bytesRead } = await source.read(plain, 0, plain.length, from)
  if (bytesRead !== plain.length) throw payloadRefused(request, 'became shorter while it was read')
  return plain
}

function manifestOf(
  { about, kind, key }: SealImageRequest,
  payload: Omit<ImageManifest['payload'], 'kind' | 'keyCommitment'>,
): ImageManifest {
  return {
    schema: 'reprise/image/v1',
    ...about,
    payload: { kind, ...payload, keyCommitment: keyCommitment(key.bytes) },
  }
}

function header(manifest: ImageManifest, signature: Uint8Array): Uint8Array {
  const envelope = encodeManifest({ manifest, signature })
  return new ByteWriter().raw(MAGIC).u32(envelope.length).raw(envelope).done()
}
