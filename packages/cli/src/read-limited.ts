/** Files that a command line names, no further than a limit; what cannot be read is said in the words of the command. */
import { readFailure } from '@reprise/runner'
import { readAtMost } from './read-at-most.ts'

/** @throws RunnerError for a file that cannot be read. */
export async function readLimited(path: string, lengthBytesMax: number): Promise<Uint8Array> {
  try {
    return await readAtMost(path, lengthBytesMax)
  } catch (error) {
    throw readFailure(error, path)
  }
}
