/** Why a run cannot be gone on with. */
import { RunnerError } from '../error.ts'
import type { JournalRun } from '../journal/index.ts'

export function notResumable(
  run: string,
  why: string,
  hint: string = 'run the program again from its start',
): RunnerError {
  return new RunnerError('NOT_RESUMABLE', { message: `the run ${run} cannot be gone on with: ${why}`, hint })
}

export function hasEnded(run: string): RunnerError {
  return notResumable(run, 'it has ended', `its record: reprise export ${run.slice(0, 8)} --format record`)
}

/** The run was stopped because what was signed came out differently, and nobody has decided what to do yet. */
export function alarmed({ run, alarm }: JournalRun): RunnerError {
  const { expected, attempt, folder } = alarm ?? { expected: { seq: -1 }, attempt: 0, folder: '' }
  return new RunnerError('ALARMED', {
    message: `attempt ${attempt} of the run ${run} was stopped: checkpoint ${expected.seq}, which was signed, came out differently`,
    hint:
      `look at runs/${run}/${folder} in REPRISE_HOME: reprise show ${run.slice(0, 8)}; to try again from the last signed snapshot: ` +
      `reprise resume ${run.slice(0, 8)} --discard-alarm`,
    data: { run, alarm },
  })
}
