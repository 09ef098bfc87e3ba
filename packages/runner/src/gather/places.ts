/**
 * Where blobs may be had that are neither in a record nor in the store: folders, and servers that give files. Nothing
 * that comes from there is trusted: each is checked by its digest, and by its length where that is known.
 */
import { hash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { MANIFEST_BYTES_MAX, type BlobRef } from '@reprise/core'
import { COMPRESSED, contentBytesOf, readCompressed, type BlobStore } from '../blobs/index.ts'
import { digestFile } from '../durable.ts'
import { RunnerError, systemCode } from '../error.ts'
import { fetchFile } from './fetch.ts'

/** A blob that is looked for. */
export interface SoughtBlob {
  readonly sha256: string
  /** Undefined for a manifest, whose length only its own bytes tell; it has a limit. */
  readonly lengthBytes: number | undefined
}

export interface BlobPlace {
  /** As the user named it. */
  readonly name: string
  /**
   * Puts the blob into the store.
   *
   * @returns True when it is there now; else why it is not, in words, or false when there is none of that name.
   */
  bring(blob: SoughtBlob, store: BlobStore, options: BringOptions): Promise<boolean | string>
}

export interface BringOptions {
  readonly signal?: AbortSignal | undefined
  /** Bytes that came from a server since the last call. */
  readonly onBytes?: ((count: number) => void) | undefined
}

/**
 * @param cacheFolder - Where unfinished downloads wait for the next try.
 * @throws RunnerError `USAGE` for what is neither a folder nor an http(s) address.
 */
export async function openPlace(name: string, cacheFolder: string): Promise<BlobPlace> {
  if (/^https?:\/\//i.test(name)) return serverPlace(name, cacheFolder)
  const found = await stat(name).catch((error: unknown) => {
    if (systemCode(error) === undefined) throw error
    return undefined
  })
  if (found?.isDirectory() === true) return folderPlace(name)
  throw new RunnerError('USAGE', {
    message: `${name} is neither a folder nor an http or https address`,
    hint: 'name a folder with files sha256/<digest> or <digest>, or an address under which sha256/<digest> is found',
  })
}

function folderPlace(folder: string): BlobPlace {
  return {
    name: folder,
    async bring({ sha256, lengthBytes }, store) {
      const split = join(sha256.slice(0, 2), sha256.slice(2))
      // As an exporter writes them, and as a store keeps them.
      for (const layout of [join('sha256', sha256), sha256, join('sha256', split), split]) {
        const path = join(folder, layout)
        const found = await stat(path).catch(() => undefined)
        if (found?.isFile() !== true) continue
        if (lengthBytes !== undefined && found.size !== lengthBytes)
          return `${path} has ${found.size} bytes, not ${lengthBytes}`
        return await keep(path, { sha256, lengthBytes }, store)
      }
      for (const layout of [join('sha256', split), split]) {
        const path = join(folder, layout + COMPRESSED)
        const found = await contentBytesOf(path).catch(() => undefined)
        if (found === undefined) continue
        if (lengthBytes === undefined && found > MANIFEST_BYTES_MAX) return `${path} holds ${found} bytes: too many`
        return await keepCompressed(path, { sha256, lengthBytes: lengthBytes ?? found }, store)
      }
      return false
    },
  }
}

async function keepCompressed(
  path: string,
  { sha256, lengthBytes }: BlobRef,
  store: BlobStore,
): Promise<boolean | string> {
  const found = await contentBytesOf(path)
  if (found !== lengthBytes) return `${path} holds ${found} bytes, not ${lengthBytes}`
  const bytes = await readCompressed(path, sha256).catch(() => undefined)
  if (bytes === undefined || hash('sha256', bytes) !== sha256) return `${path} holds other bytes`
  return (await store.putBytes(bytes)).sha256 === sha256
}

function serverPlace(name: string, cacheFolder: string): BlobPlace {
  const base = name.endsWith('/') ? name : `${name}/`
  return {
    name,
    async bring(blob, store, { signal, onBytes }) {
      const url = new URL(`sha256/${blob.sha256}`, base).href
      const path = join(cacheFolder, `${blob.sha256}.part`)
      // What an earlier try left may be another file's beginning: when it does not fit, it is fetched from the start, once.
      for (const isResumed of [true, false]) {
        const got = await fetchFile({
          url,
          path,
          isResumed,
          lengthBytes: blob.lengthBytes,
          lengthBytesMax: blob.lengthBytes ?? MANIFEST_BYTES_MAX,
          signal,
          onBytes,
        })
        if (got.kind === 'absent') return false
        if (got.kind === 'failed') return got.why
        const kept = await keep(path, blob, store)
        await got.remove()
        if (kept === true) return true
        if (!got.wasResumed) return `${url} gives other bytes`
      }
      return `${url} gives other bytes`
    },
  }
}

/** Takes a file into the store when it is the one. */
async function keep(path: string, { sha256 }: SoughtBlob, store: BlobStore): Promise<true | string> {
  // Looked at before: the store would keep it under its own digest, for ever.
  if ((await digestFile(path)).sha256 !== sha256) return `${path} holds other bytes than its name says`
  return (await store.putFile(path)).sha256 === sha256 || `${path} changed while it was read`
}
