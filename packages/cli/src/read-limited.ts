/** Files from the command line, no further than a limit. */
import { readFailure } from '@reprise/runner'
import { readAtMost } from './read-at-most.ts'

/** One byte more than is taken shows the reader that there is too much. */
export async function readLimited(path: string, lengthBytesMax: number): Promise<Uint8Array> {
  try {
    return await readAtMost(path, lengthBytesMax)
  } catch (error) {
    throw readFailure(error, path)
  }
}
