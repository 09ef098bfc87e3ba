/** One writer of a journal at a time. */
import type { FileHandle } from 'node:fs/promises'
import { RunnerError } from '../error.ts'
import { flock } from '../flock.ts'

/** Whoever collects what nothing needs locks a journal for a moment, to see whether it is being written. */
const LOOKED_AT_SECONDS = 1

/**
 * Locks an open file until it is closed.
 *
 * @throws RunnerError `RUN_BUSY` when another process has it; `JOURNAL_WRITE` without flock(1).
 */
export async function lockFile(file: FileHandle, path: string): Promise<void> {
  const isOurs = await flock(file.fd, { mode: 'exclusive', waitSeconds: LOOKED_AT_SECONDS }).catch((cause: unknown) => {
    throw new RunnerError('JOURNAL_WRITE', {
      message: `the journal ${path} cannot be locked: ${(cause as Error).message}`,
      hint: 'install util-linux, which has flock',
      cause,
    })
  })
  if (isOurs) return
  throw new RunnerError('RUN_BUSY', {
    message: `another process is at work on this run: it holds ${path}`,
    hint: 'wait until that has ended, or stop it',
    data: { path },
  })
}
