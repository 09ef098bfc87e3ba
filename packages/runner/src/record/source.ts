/** A record's file as the reader of containers wants it. */
import { readFileSync, statSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import { bytesSource, EvidenceError, type ZipSource } from '@reprise/core'
import { readFailure, RunnerError } from '../error.ts'
import { inflateWhole } from './inflate.ts'

export interface FileSource extends ZipSource, AsyncDisposable {}

/** Read in one go, at once: of a record this small the hops to the thread pool would cost more than all its checks. */
const AT_ONCE_BYTES_MAX = 1 << 20

/** @throws RunnerError `INPUT_MISSING` or `INPUT_UNREADABLE`. */
export async function openFileSource(path: string): Promise<FileSource> {
  try {
    // A pipe would be waited for, and a folder can be opened but not read.
    const { size } = regularFile(path)
    return size <= AT_ONCE_BYTES_MAX ? wholeFile(path) : await openFile(path)
  } catch (error) {
    throw error instanceof RunnerError ? error : readFailure(error, path)
  }
}

function regularFile(path: string): { readonly size: number } {
  const stats = statSync(path)
  if (!stats.isFile()) throw notAFile(path)
  return stats
}

function wholeFile(path: string): FileSource {
  const { buffer, byteOffset, byteLength } = readFileSync(path)
  return {
    // No Buffer: its parts take longer to make than those of an array.
    ...bytesSource(new Uint8Array(buffer, byteOffset, byteLength)),
    inflate: inflateWhole,
    crc32,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

async function openFile(path: string): Promise<FileSource> {
  const file = await open(path)
  const { size } = await file.stat()
  return {
    lengthBytes: size,
    inflate: inflateWhole,
    crc32,
    async read(offset, lengthBytes) {
      const bytes = new Uint8Array(lengthBytes)
      let filled = 0
      while (filled < lengthBytes) {
        // The next read begins where this one ended.
        const { bytesRead } = await file.read(bytes, filled, lengthBytes - filled, offset + filled)
        if (bytesRead === 0) throw new Error(`${path} became shorter while it was read`)
        filled += bytesRead
      }
      return bytes
    },
    [Symbol.asyncDispose]: () => file.close(),
  }
}

function notAFile(path: string): RunnerError {
  return new RunnerError('INPUT_UNREADABLE', {
    message: `${path} is not a file`,
    hint: 'a record is a file that reprise run -o FILE wrote',
  })
}

/** Opens a record's file and reads it; what is no record is said so by its name, which a source does not know. */
export async function readingRecord<T>(path: string, read: (source: FileSource) => Promise<T>): Promise<T> {
  const source = await openFileSource(path)
  try {
    return await read(source)
  } catch (error) {
    await source[Symbol.asyncDispose]()
    if (!(error instanceof EvidenceError) || error.code !== 'NOT_A_RECORD') throw error
    const hint = error.hint === undefined ? {} : { hint: error.hint }
    throw new EvidenceError('NOT_A_RECORD', { message: `${path}: ${error.message}`, ...hint, cause: error })
  }
}
