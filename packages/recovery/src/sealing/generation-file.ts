/** The file of generations on a disk: after a crash there is the old content or the new one. */

import { readWhole, writeWhole } from '../whole-file.ts'
import type { Keeper } from './generations.ts'

/** @param path - Its folder is there; only one process writes it. */
export function generationFile(path: string): Pick<Keeper, 'read' | 'write'> {
  return { read: () => readWhole(path), write: (bytes) => writeWhole(path, bytes) }
}
