/** `reprise resume --cut-off`: after an outage, what it cut off goes on, each run inside its own proof. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cutOffRuns, RunnerError } from '@reprise/runner'
import type { Context } from '../context.ts'
import { EXIT_UNKNOWN, EXIT_YES } from '../exit.ts'
import { advise, count } from '../print/format.ts'

/**
 * One after the other, each by a command of its own with the options of this one: one that fails keeps nobody back.
 *
 * @returns 0 when each of them ended well, else the greatest exit code.
 */
export async function resumeCutOff(
  { home, signal }: Context,
  { run, output }: { readonly run: string | undefined; readonly output: string | undefined },
): Promise<number> {
  if (run !== undefined || output !== undefined) {
    throw new RunnerError('USAGE', {
      message: `--cut-off is for all runs; ${run === undefined ? 'one record cannot hold them' : `it does not go with ${run}`}`,
      hint: 'leave one of the two out',
    })
  }
  const { runs, unreadable } = await cutOffRuns(home)
  for (const { run, error } of unreadable) advise(`run ${run.slice(0, 8)} is left as it is: ${error.message}`)
  if (runs.length > 0) advise(`${count(runs.length, 'run')} of this host ${runs.length === 1 ? 'was' : 'were'} cut off`)
  let worst = unreadable.length > 0 ? EXIT_UNKNOWN : EXIT_YES
  for (const id of runs) {
    signal.throwIfAborted()
    worst = Math.max(worst, await resumeOne(id, signal))
  }
  return worst
}

async function resumeOne(run: string, signal: AbortSignal): Promise<number> {
  const [command, ...words] = process.argv.slice(1)
  const options = words.map((word) => (word === '--cut-off' ? run : word))
  const child = spawn(process.execPath, [...process.execArgv, command, ...options], { stdio: 'inherit' })
  const end = (): void => void child.kill('SIGTERM')
  signal.addEventListener('abort', end)
  try {
    const [code] = (await once(child, 'exit')) as [number | null]
    return code ?? EXIT_UNKNOWN
  } finally {
    signal.removeEventListener('abort', end)
  }
}
