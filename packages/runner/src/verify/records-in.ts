/** The records that are meant by the arguments of a command: files as they are, and what lies in folders. */
import { statSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { compareText } from '@reprise/core'
import { readFailure, RunnerError } from '../error.ts'

const ENDING = '.reprise'

/**
 * @returns The paths of files in the order given, whatever they are called; in the place of a folder, those of all `*.reprise`
 *   files in it and in the folders below, by the bytes of their paths. Links to folders are not followed.
 * @throws RunnerError `INPUT_MISSING` for a folder that holds none, `INPUT_UNREADABLE`.
 */
export async function recordsIn(paths: readonly string[]): Promise<readonly string[]> {
  const lists: (readonly string[])[] = []
  for (const path of paths) lists.push(isFolder(path) ? await recordsInFolder(path) : [path])
  return lists.flat()
}

/** What is not there at all is found when it is read. Of a thousand, the hops to the thread pool would take as long as all else. */
function isFolder(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
  } catch {
    return false
  }
}

async function recordsInFolder(folder: string): Promise<readonly string[]> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true }).catch((error: unknown) => {
    throw readFailure(error, folder)
  })
  const records = found
    .filter((entry) => entry.name.endsWith(ENDING) && !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name))
  if (records.length === 0) {
    const message = `${folder} holds no file that ends in ${ENDING}`
    throw new RunnerError('INPUT_MISSING', { message, hint: 'name the records, or another folder' })
  }
  return records.sort(compareText)
}
