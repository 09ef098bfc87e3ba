/** What a machine's threads keep in the cache of their home is there whole or not at all. */
import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { concat } from '@reprise/core'
import { temporaryName } from '../durable.ts'
import { writeFailure } from '../error.ts'

/** A file of these parts, whole or not at all. @throws RunnerError `DISK_FULL`, `WRITE`. */
export function writeWhole(path: string, parts: readonly Uint8Array[], what: string): void {
  const folder = dirname(path)
  // By chance: two threads of one process may begin in the same millisecond.
  const temporary = temporaryName(folder)
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    writeFileSync(temporary, concat(...parts))
    const file = openSync(temporary, 'r')
    fsyncSync(file)
    closeSync(file)
    renameSync(temporary, path)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw writeFailure(error, path, what)
  }
}
