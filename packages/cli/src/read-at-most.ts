/** Files of people, of which too much is a mistake and not read. */
import { open } from 'node:fs/promises'

/** @returns The file; of a longer one the first `lengthBytesMax` bytes and one more, which shows its reader that there is too much. */
export async function readAtMost(path: string, lengthBytesMax: number): Promise<Uint8Array> {
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
}
