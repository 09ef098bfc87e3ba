/** Why two runs differ, by what running them again has shown. */
import type { Cause } from '../compare/index.ts'
import type { HostCallDifference } from './explain.ts'
import type { Rerun } from './rerun.ts'

export interface LikelyCause {
  readonly cause: Cause
  readonly sentence: string
}

/** What each call brings in, where it is not a file. */
const BROUGHT_IN: Readonly<Record<string, string>> = {
  args_get: 'the arguments',
  args_sizes_get: 'the arguments',
  environ_get: 'the environment variables',
  environ_sizes_get: 'the environment variables',
  clock_time_get: 'the clock',
  random_get: 'the seed',
}

/** @param likely - By the definitions and the environments alone. */
export function explainedCause(likely: LikelyCause, { step, reproduced }: Rerun): LikelyCause {
  if (step.kind === 'found' && step.call !== null) {
    return { ...likely, sentence: `${likely.sentence} It came in by ${callSentence(step.call)}.` }
  }
  const { a, b } = reproduced
  if (a === undefined && b === undefined) return likely
  return { ...likely, sentence: `${likely.sentence} ${hereSentence(a === true, b === true)}` }
}

/** `fd_read of data.csv at byte 0`, `random_get (the seed)`. */
export function callSentence({ name, path, offset }: HostCallDifference): string {
  // How a program that begins warm asks for what it was given: spec/wasi-host.md §14.
  if (name === 'path_readlink' && path?.startsWith('dev/reprise/') === true)
    return `${name} (the ${path.split('/')[2]})`
  if (path !== null) return `${name} of ${path}${offset === null ? '' : ` at byte ${offset}`}`
  const what = BROUGHT_IN[name]
  return what === undefined ? name : `${name} (${what})`
}

function hereSentence(a: boolean, b: boolean): string {
  if (a && b) return 'Run again here, each comes out as it was recorded.'
  if (a || b) return `Run again here, it comes out as in ${a ? 'a' : 'b'}, and not as in ${a ? 'b' : 'a'}.`
  return 'Run again here, it comes out as in neither.'
}
