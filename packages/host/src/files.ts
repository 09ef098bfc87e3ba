/** Files that must be whole after any crash. */

import { closeSync, fsyncSync, openSync, renameSync, writeFileSync } from 'node:fs'
import { open, readFile } from 'node:fs/promises'
import { dirname } from 'node:path'

/**
 * Replaces a file so that after a crash there is the old content or the new one, on disk. Mode 0600.
 *
 * These files are small and somebody waits for each: at once it takes half the time of eight ways to another thread and back.
 */
export async function writeAtomically(path: string, content: string | Uint8Array): Promise<void> {
  // One process writes each of these: a fixed name leaves no litter behind a crash.
  const unfinished = `${path}.unfinished`
  const file = openSync(unfinished, 'w', 0o600)
  try {
    writeFileSync(file, content)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(unfinished, path)
  const folder = openSync(dirname(path), 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}

export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/** @returns Undefined when there is no such file. */
export async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return new Uint8Array(await readFile(path))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
