/** The file of generations on a disk: after a crash there is the old content or the new one. */

import { open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Keeper } from './generations.ts'

/** @param path - Its folder is there; only one process writes it. */
export function generationFile(path: string): Pick<Keeper, 'read' | 'write'> {
  const unfinished = `${path}.unfinished`
  return {
    async read() {
      try {
        return new Uint8Array(await readFile(path))
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
        throw error
      }
    },
    async write(bytes) {
      {
        await using file = await open(unfinished, 'w', 0o600)
        await file.writeFile(bytes)
        await file.sync()
      }
      await rename(unfinished, path)
      await using folder = await open(dirname(path), 'r')
      await folder.sync()
    },
  }
}
