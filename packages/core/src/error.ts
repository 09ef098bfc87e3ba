/**
 * Base of every error class of the house: a closed code, a message that says what happened to
 * what, and a hint that says what to do next. Codes are API; wording may improve.
 */

export interface ErrorDetails {
  readonly message: string
  readonly hint?: string
  readonly data?: Readonly<Record<string, unknown>>
  readonly cause?: unknown
}

export class RepriseError<Code extends string> extends Error {
  readonly code: Code
  readonly hint: string | undefined
  readonly data: Readonly<Record<string, unknown>>

  constructor(code: Code, details: ErrorDetails) {
    super(details.message, { cause: details.cause })
    this.name = new.target.name
    this.code = code
    this.hint = details.hint
    this.data = details.data ?? {}
  }
}

export type CoreErrorCode =
  | 'CANON_VALUE' // a value that RFC 8785 cannot carry
  | 'STRUCTURE' // bytes that are not the structure they should be
  | 'LIMIT' // larger than the named maximum
  | 'CONTAINER' // a ZIP file that is not exactly as spec/record.md §1 wants it
  | 'NOT_A_RECORD' // the input is no record at all

/** What `core` throws: the input was not evidence. A failed check is a finding instead. */
export class EvidenceError extends RepriseError<CoreErrorCode> {}

/** Guards our own invariants, one fact per line. */
export function assert(condition: boolean, whatMustHold: string): asserts condition {
  if (!condition) throw new Error(`broken invariant: ${whatMustHold}`)
}
