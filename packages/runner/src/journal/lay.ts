/**
 * Laying a journal that another host wrote, or putting it in the place of a shorter one: it is there whole or not at all,
 * whenever the process ends.
 */
import { constants, mkdir, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { RepriseError } from '@reprise/core'
import { syncFolder } from '../durable.ts'
import { systemCode } from '../error.ts'
import { lineOf, type JournalEntry } from './entries.ts'
import { journalFailure, openJournal, openLocked } from './journal.ts'
import type { JournalRun } from './reading.ts'

const PIECE_CHARS = 1 << 20

/**
 * Lays a journal when `decide` says so. One process at a time lays journals of a run.
 *
 * @param decide - What comes now: given the run that this host's journal has so far, undefined when it has none.
 * @param entries - All of the new journal.
 * @throws {@link RunnerError} `RUN_BUSY`, `JOURNAL_WRITE`, `DISK_FULL`, `JOURNAL_DAMAGED` for the one that is there.
 */
export async function layJournal(
  path: string,
  decide: (here: JournalRun | undefined) => Promise<'keep' | 'lay'>,
  entries: () => AsyncIterable<JournalEntry>,
): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 }).catch((cause: unknown) => {
    throw journalFailure(path, cause)
  })
  // Always the same name: what a killed process left is written over by the next one.
  const temporary = `${path}.new`
  const file = await openLocked(temporary, constants.O_RDWR | constants.O_CREAT)
  try {
    const here = (await isThere(path)) ? await openJournal(path) : undefined
    await using _locked = here?.journal
    if ((await decide(here?.run)) === 'keep') return await rm(temporary, { force: true })
    await file.truncate(0)
    let piece = ''
    for await (const entry of entries()) {
      piece += lineOf(entry)
      if (piece.length < PIECE_CHARS) continue
      await file.appendFile(piece)
      piece = ''
    }
    await file.appendFile(piece)
    await file.sync()
    await rename(temporary, path)
    await syncFolder(dirname(path))
  } catch (error) {
    throw error instanceof RepriseError || systemCode(error) === undefined ? error : journalFailure(path, error)
  } finally {
    await file.close()
  }
}

async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined
}
