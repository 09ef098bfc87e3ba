import { RepriseError } from '@reprise/core'

/** `usage` and `input` can be mended by another command line or file, `failure` is Reprise's own. */
export type RecoveryErrorKind = 'usage' | 'input' | 'failure'

const KINDS = {
  USAGE: 'usage', // an argument that means nothing
  PLAN: 'input', // a plan with mistakes; data.problems lists them
  PLAN_UNREADABLE: 'input', // no such file, or not for us
  PLACEMENT: 'input', // no witnesses can be found within the caps
  SIGNED_PLAN: 'input', // a signed plan that is damaged, or not signed by enough of those who had to
  PLAN_OLD: 'input', // a signed plan that is not newer than the one that is known, or another one of that version
  STATEMENT: 'input', // a statement of operators that is damaged, not for this fleet or host, or not signed by enough
  DELIVERY: 'failure', // a host that is given nothing, or does not take what it is given
  OFFER: 'input', // what a host offered is damaged, proves nothing, or does not fit the plan
  KEY: 'input', // a file of a key that is none, needs a passphrase, or is not the plan's
  COMPONENTS: 'input', // components of an update, or boots, that are none or do not fit the log
  AUDIT: 'input', // an audit log that cannot be gone on with: damaged before its tail, or of another host
  SCENARIO: 'usage', // a simulation of something that the fleet does not have
  PIN: 'failure', // the TPM is not the one that was pinned
  TPM: 'failure', // the TPM has no room, or something else stands where ours belongs
  OPERATORS: 'usage', // too few operators made a statement
  SHARES: 'input', // too few shares, or of two epochs
  GENERATION: 'input', // the file of sealed generations is damaged, or what is asked for does not fit it
  CONTENT_KEY: 'input', // a wrapped key that these halves do not open
  IMAGE: 'input', // an image that is damaged, cut, or of another version
  IMAGE_OLD: 'input', // an image below what this host takes
  CHANNEL: 'failure', // a peer is gone, says nothing, or breaks the rules
  SIGHTINGS: 'input', // an answer that is no state of a fleet
  BOARD: 'usage', // an address at which no board can be served
  BOARD_SILENT: 'failure', // nobody answers where a board should be
  LABORATORY: 'failure', // hosts on one machine that cannot be made, or do not do what they should
  STATE: 'input', // a file or folder of an agent's state that is damaged, missing, or open to others
  NOT_NOW: 'failure', // what only a host that is provisioned, or released, can do
  BUSY: 'failure', // the agent is doing such a thing already
  AGENT: 'failure', // the agent cannot be started, or does not answer
  IMAGE_TOOL: 'failure', // a program that makes file systems is missing or failed
  SERVICES: 'input', // what plan or image says of the services does not fit together
  LOADING: 'failure', // what loads an image failed, or would leave secrets on a disk
} as const satisfies Readonly<Record<string, RecoveryErrorKind>>

export type RecoveryErrorCode = keyof typeof KINDS

/** What `@reprise/recovery` throws. A refusal to release is an answer, not an error. */
export class RecoveryError extends RepriseError<RecoveryErrorCode> {
  static isCode(code: unknown): code is RecoveryErrorCode {
    return typeof code === 'string' && Object.hasOwn(KINDS, code)
  }

  get kind(): RecoveryErrorKind {
    return KINDS[this.code]
  }
}
