/** Exit codes: 0 yes, 1 checked and no, 2 usage or unreadable input, 3 could not find out; `run` has its own. */

export const EXIT_YES = 0
export const EXIT_NO = 1
export const EXIT_USAGE = 2
export const EXIT_UNKNOWN = 3
/** Reprise's own failure in `run` and `resume`, which pass on the guest's code. */
export const EXIT_RUN_FAILED = 125
/** Of a failure that is not the caller's. @param command - Of `run` and `resume` it is 125, because 1 to 124 are the guest's. */
export function ownFailureCode(command: string): number {
  return command === 'run' || command === 'resume' ? EXIT_RUN_FAILED : EXIT_UNKNOWN
}

export const EXIT_TRAPPED = 134
/** 128 + SIGINT, as shells have it. */
export const EXIT_INTERRUPTED = 130
