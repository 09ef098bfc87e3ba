import { RepriseError } from '@reprise/core'

/** `usage` and `input` can be mended by another command line or file, `failure` is Reprise's own. */
export type RecoveryErrorKind = 'usage' | 'input' | 'failure'

const KINDS = {
  USAGE: 'usage', // an argument that means nothing
  PLAN: 'input', // a plan with mistakes; data.problems lists them
  PLAN_UNREADABLE: 'input', // no such file, or not for us
  PLACEMENT: 'input', // no witnesses can be found within the caps
  SCENARIO: 'usage', // a simulation of something that the fleet does not have
} as const satisfies Readonly<Record<string, RecoveryErrorKind>>

export type RecoveryErrorCode = keyof typeof KINDS

/** What `@reprise/recovery` throws. A refusal to release is an answer, not an error. */
export class RecoveryError extends RepriseError<RecoveryErrorCode> {
  get kind(): RecoveryErrorKind {
    return KINDS[this.code]
  }
}
