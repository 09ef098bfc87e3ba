/** Files that must be whole after any crash: after it there is the old content or the new one. */

import { open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Replaces a file; mode 0600. @param path - Its folder is there; only one process writes it. */
export async function writeWhole(path: string, content: Uint8Array): Promise<void> {
  // A fixed name leaves no litter behind a crash.
  const unfinished = `${path}.unfinished`
  {
    await using file = await open(unfinished, 'w', 0o600)
    await file.writeFile(content)
    await file.sync()
  }
  await rename(unfinished, path)
  await syncFolder(dirname(path))
}

export async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, 'r')
  await folder.sync()
}

/** @returns Undefined when there is no such file. */
export async function readWhole(path: string): Promise<Uint8Array | undefined> {
  try {
    return new Uint8Array(await readFile(path))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
