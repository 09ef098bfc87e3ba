/** What the journals of a home say while commands are at work on them, and after they were killed. */
import type { ChildProcess } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Checkpoint } from '@reprise/core'
import { type JournalRun, readRun } from '../../packages/runner/src/journal/index.ts'
import type { Room } from './room.ts'

export const journalOf = (home: string, run: string): string => join(home, 'runs', run, 'journal')

export async function runsIn(home: string): Promise<string[]> {
  const names = await readdir(join(home, 'runs')).catch(() => [])
  return names.filter((name) => /^[0-9a-f]{64}$/.test(name))
}

/**
 * The checkpoint that came last, by what its line looks like; -1 before the first. A fraction of a millisecond: to read a journal
 * as one takes longer than some programs have left.
 */
export async function lastSeqIn(home: string, run: string): Promise<number> {
  const journal = await readFile(journalOf(home, run), 'latin1').catch(() => '')
  const end = journal.lastIndexOf('\n')
  const line = journal.lastIndexOf('{"checkpoint":', end)
  // A new attempt has left out what was not signed.
  if (journal.lastIndexOf('{"attempt":{', end) > line) return ((await peek(home, run))?.checkpointCount ?? 0) - 1
  return Number(/"seq":(\d+)/.exec(journal.slice(line, line + 300))?.[1] ?? -1)
}

/** What a journal says up to now; undefined before its first line. */
export async function peek(home: string, run: string): Promise<JournalRun | undefined> {
  return (await readRun(journalOf(home, run)).catch(() => undefined))?.run
}

/** The same, with the command held meanwhile: on a busy machine a short one would be at its end before that is read. */
export async function peekHeld(child: ChildProcess, home: string, run: string): Promise<JournalRun | undefined> {
  child.kill('SIGSTOP')
  try {
    return await peek(home, run)
  } finally {
    child.kill('SIGCONT')
  }
}

/** Runs a command in a room and ends it when its second snapshot is signed for. @returns The run. */
export async function killedAfterSnapshots(room: Room, words: readonly string[], cwd: string): Promise<string> {
  const before = new Set(await runsIn(room.home))
  const { child, ended } = room.start(words, { cwd })
  for (;;) {
    const run = (await runsIn(room.home)).find((name) => !before.has(name))
    const seen = run === undefined ? undefined : await peek(room.home, run)
    if (child.exitCode !== null) throw new Error(`it ended before it could be killed: ${(await ended).stderr}`)
    if (run !== undefined && (seen?.snapshots.filter(({ seq }) => seq <= seen.signedSeq).length ?? 0) >= 2) {
      child.kill('SIGKILL')
      await ended
      return run
    }
    await sleep(20)
  }
}

/** All that a journal shows. */
export async function checkpointsOf(journal: JournalRun | undefined): Promise<Checkpoint[]> {
  const all: Checkpoint[] = []
  for await (const some of journal?.checkpoints() ?? []) all.push(...some)
  return all
}

/** Numbers from 0 to 1, the same for the same seed. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

/** Of every test here that draws: REPRISE_TEST_SEED tries others. */
export const SEED = Number(process.env['REPRISE_TEST_SEED'] ?? 20_261_123)
