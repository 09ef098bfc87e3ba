/** Files from the command line, no further than a limit. */
import { open } from 'node:fs/promises'
import { readFailure } from '@reprise/runner'

/** One byte more than is taken shows the reader that there is too much. */
export async function readLimited(path: string, lengthBytesMax: number): Promise<Uint8Array> {
  try {
    await using file = await open(path, 'r')
    const { size } = await file.stat()
    const buffer = new Uint8Array(Math.min(size, lengthBytesMax) + 1)
    let length = 0
    while (length < buffer.length) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length, length)
      if (bytesRead === 0) break
      length += bytesRead
    }
    return buffer.subarray(0, length)
  } catch (error) {
    throw readFailure(error, path)
  }
}
