/** The standard input of a guest: a file, what is piped into Reprise, or nothing. */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { concat } from '@reprise/core'
import type { BlobSource } from '../blobs/index.ts'
import { readFailure, RunnerError } from '../error.ts'

/** Of what is piped: it has to fit into memory once. */
export const PIPED_BYTES_MAX = 2 ** 30

/**
 * @param setting - Absolute path, `-`, or undefined for no input.
 * @throws RunnerError `INPUT_MISSING`, `INPUT_UNREADABLE`, `INPUT_TOO_MUCH`.
 */
export async function readStdin(setting: string | undefined, own: AsyncIterable<Uint8Array>): Promise<BlobSource> {
  if (setting === undefined) return new Uint8Array()
  if (setting === '-') return readAll(own, 'the standard input')
  try {
    const found = await stat(setting)
    if (found.isFile()) return setting
    // A pipe, or a device such as /dev/null.
    return await readAll(createReadStream(setting), setting)
  } catch (error) {
    throw error instanceof RunnerError ? error : readFailure(error, setting)
  }
}

async function readAll(stream: AsyncIterable<Uint8Array>, name: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let lengthBytes = 0
  for await (const chunk of stream) {
    lengthBytes += chunk.length
    if (lengthBytes > PIPED_BYTES_MAX) {
      throw new RunnerError('INPUT_TOO_MUCH', {
        hint: 'write it to a file and give that with --stdin FILE',
        message: `${name} goes on beyond ${PIPED_BYTES_MAX} bytes`,
      })
    }
    chunks.push(chunk)
  }
  return concat(...chunks)
}
