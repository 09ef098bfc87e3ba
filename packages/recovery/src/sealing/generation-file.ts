/** The file of generations on a disk: after a crash there is the old content or the new one. */

import { readIfThere, writeAtomically } from '@reprise/host/files'
import type { Keeper } from './generations.ts'

/** @param path - Its folder is there; only one process writes it. */
export function generationFile(path: string): Pick<Keeper, 'read' | 'write'> {
  return { read: () => readIfThere(path), write: (bytes) => writeAtomically(path, bytes) }
}
