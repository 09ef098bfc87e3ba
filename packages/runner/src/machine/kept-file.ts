/**
 * What a machine's threads keep in the cache of their home: made here, named by what decides it, and checked by its own
 * digest, because a wrong one would be a wrong machine. A file is 32 bytes SHA-256 of the rest, then the rest.
 */
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { concat, equal, type Sha256 } from '@reprise/core'
import { temporaryName } from '../durable.ts'
import { writeFailure } from '../error.ts'

const DIGEST_BYTES = 32

/** Undefined when there is none or it is damaged: making it again mends both. */
export function readKept(path: string, sha256: Sha256): Uint8Array<ArrayBuffer> | undefined {
  let file: Uint8Array<ArrayBuffer>
  try {
    file = readFileSync(path)
  } catch {
    return undefined
  }
  const content = file.subarray(DIGEST_BYTES)
  return file.length >= DIGEST_BYTES && equal(file.subarray(0, DIGEST_BYTES), sha256(content)) ? content : undefined
}

/** @param what - For people, should it fail. @throws RunnerError `DISK_FULL`, `WRITE`. */
export function writeKept(
  path: string,
  content: Uint8Array,
  { sha256, what }: { readonly sha256: Sha256; readonly what: string },
): void {
  writeWhole(path, [sha256(content), content], what)
}

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
