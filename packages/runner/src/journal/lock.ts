/** One writer of a journal at a time: flock(2), which the kernel takes back when its holder dies, however it dies. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { FileHandle } from 'node:fs/promises'
import { RunnerError } from '../error.ts'

/** By which flock(1) says that another process holds the lock. */
const EXIT_LOCKED = 75

/**
 * Locks an open file until it is closed. flock(1) locks what it inherits, which stays locked for this process.
 *
 * @throws RunnerError `RUN_BUSY` when another process has it; `JOURNAL_WRITE` without flock(1).
 */
export async function lockFile(file: FileHandle, path: string): Promise<void> {
  const child = spawn('flock', ['--nonblock', '--conflict-exit-code', String(EXIT_LOCKED), '3'], {
    stdio: ['ignore', 'ignore', 'ignore', file.fd],
  })
  const code = await once(child, 'exit').then(
    ([exit]) => exit as number | null,
    (cause: unknown) => {
      throw failed(path, (cause as Error).message, cause)
    },
  )
  if (code === EXIT_LOCKED) throw busy(path)
  if (code !== 0) throw failed(path, `flock ended with ${code}`)
}

export function busy(path: string): RunnerError {
  return new RunnerError('RUN_BUSY', {
    message: `another process is at work on this run: it holds ${path}`,
    hint: 'wait until that has ended, or stop it',
    data: { path },
  })
}

function failed(path: string, why: string, cause?: unknown): RunnerError {
  return new RunnerError('JOURNAL_WRITE', {
    message: `the journal ${path} cannot be locked: ${why}`,
    hint: 'install util-linux, which has flock',
    ...(cause !== undefined && { cause }),
  })
}
