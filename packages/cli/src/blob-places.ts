/** Where the user says that blobs are. */
import { join } from 'node:path'
import { openPlace, type BlobPlace } from '@reprise/runner'
import type { Context } from './context.ts'

export async function openPlaces({ home }: Context, names: readonly string[]): Promise<readonly BlobPlace[]> {
  return await Promise.all(names.map((name) => openPlace(name, join(home, 'cache', 'downloads'))))
}
