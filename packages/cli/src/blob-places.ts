/** Where blobs are looked for: among the installed runtimes, and where the user says. */
import { join } from 'node:path'
import { openPlace, runtimesPlace, type BlobPlace } from '@reprise/runner'
import type { Context } from './context.ts'

export async function openPlaces({ home }: Context, names: readonly string[]): Promise<readonly BlobPlace[]> {
  const named = await Promise.all(names.map((name) => openPlace(name, join(home, 'cache', 'downloads'))))
  return [runtimesPlace(home), ...named]
}
