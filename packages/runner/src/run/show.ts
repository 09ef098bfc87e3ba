/** What this host knows of a run: its journal, and the alarms that stopped it. */
import { readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { readFailure, RunnerError, systemCode } from '../error.ts'
import { runnerFolders } from '../home.ts'
import { isLocked, journalPath, readRun, type JournalRun } from '../journal/index.ts'
import type { AlarmReport } from './alarm.ts'
import { notResumable } from './refusals.ts'

export interface ShownRun {
  readonly run: JournalRun
  /** A process of this host is at work on it. */
  readonly isGoingOn: boolean
  /** Bytes at the journal's end that a crash left torn. */
  readonly tornBytes: number
  readonly alarms: readonly { readonly folder: string; readonly report: AlarmReport; readonly isDiscarded: boolean }[]
}

/** @throws RunnerError `NOT_RESUMABLE` when there is not one whole line; `INPUT_MISSING`, `INPUT_UNREADABLE`, `JOURNAL_DAMAGED`. */
export async function showRun(home: string, id: string): Promise<ShownRun> {
  const path = journalPath(home, id)
  const isGoingOn = await isLocked(path)
  const { run, tornBytes } = await readRun(path)
  if (run === undefined) throw notResumable(id, 'it was cut off before its first line was on disk')
  const names = (await readdir(dirname(path))).filter((name) => /^alarm-\d+-\d+$/.test(name)).toSorted()
  const alarms = await Promise.all(
    names.map(async (name) => {
      const folder = join(dirname(path), name)
      return { folder, report: await reportIn(folder), isDiscarded: run.alarm?.folder !== name }
    }),
  )
  return { run, isGoingOn, tornBytes, alarms }
}

export interface CutOffRuns {
  readonly runs: readonly string[]
  /** Of these nobody can say. */
  readonly unreadable: readonly { readonly run: string; readonly error: Error }[]
}

/**
 * Runs of this host that a crash or a loss of power cut off, and that no process is at work on. Those that a person or an
 * alarm ended are not among them.
 */
export async function cutOffRuns(home: string): Promise<CutOffRuns> {
  const found = await readdir(runnerFolders(home).runs).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return []
    throw error
  })
  const runs: string[] = []
  const unreadable: { run: string; error: Error }[] = []
  for (const id of found.filter((entry) => /^[0-9a-f]{64}$/.test(entry)).toSorted()) {
    try {
      const { run, isGoingOn } = await showRun(home, id)
      if (!isGoingOn && run.ended === null && run.alarm === null) runs.push(id)
    } catch (error) {
      // Cut off before there was anything to go on from: it has no proof that could be continued.
      if (error instanceof RunnerError && error.code === 'NOT_RESUMABLE') continue
      unreadable.push({ run: id, error: error as Error })
    }
  }
  return { runs, unreadable }
}

/** Written by this program, beside a journal that is not checked against forgery either: it is the user's own. */
async function reportIn(folder: string): Promise<AlarmReport> {
  const path = join(folder, 'alarm.json')
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw readFailure(error, path)
  })
  return JSON.parse(text) as AlarmReport
}
