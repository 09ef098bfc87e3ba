/** A record's file as the reader of containers wants it. */
import { open } from 'node:fs/promises'
import type { ZipSource } from '@reprise/core'
import { readFailure } from '../error.ts'

export interface FileSource extends ZipSource, AsyncDisposable {}

/** @throws RunnerError `INPUT_MISSING` or `INPUT_UNREADABLE`. */
export async function openFileSource(path: string): Promise<FileSource> {
  try {
    const file = await open(path)
    const { size } = await file.stat()
    return {
      lengthBytes: size,
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
  } catch (error) {
    throw readFailure(error, path)
  }
}
