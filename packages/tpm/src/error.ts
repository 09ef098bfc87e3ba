import { type ErrorDetails, RepriseError, type ResponseCode } from '@reprise/core'

export type TpmErrorCode =
  | 'RESPONSE' // the TPM answered with a response code; see `response`
  | 'TRANSPORT' // the connection is closed or broke
  | 'TIMEOUT' // no answer in time; the connection is given up
  | 'MALFORMED' // the answer is not what the specification says
  | 'HMAC' // the answer's HMAC is wrong or missing: somebody sits on the bus
  | 'USAGE' // the caller asked for what the specification does not have
  | 'SWTPM_MISSING' // a program of swtpm is not installed
  | 'SWTPM_FAILED' // swtpm or swtpm_setup failed
  | 'STATE_MISSING' // the folder holds no TPM state
  | 'STATE_EXISTS' // the folder holds a TPM already
  | 'PATH_TOO_LONG' // a Unix socket's path has at most 107 bytes

/** What `@reprise/tpm` throws. */
export class TpmError extends RepriseError<TpmErrorCode> {
  /** The decoded TPM_RC; only with the code `RESPONSE`. */
  readonly response: ResponseCode | undefined

  constructor(code: TpmErrorCode, details: ErrorDetails & { readonly response?: ResponseCode }) {
    super(code, details)
    this.response = details.response
  }
}

/** Whether the TPM answered with this response code, such as `TPM_RC_POLICY_FAIL`. */
export function isResponse(error: unknown, name: string): error is TpmError {
  return error instanceof TpmError && error.response?.name === name
}

/**
 * Whether a session is no longer there: a resource manager flushed it, or the TPM was reset. What it was for can be begun
 * again with a new one.
 */
export function isSessionGone(error: unknown): boolean {
  if (!(error instanceof TpmError) || error.response === undefined) return false
  const { name, about, layer } = error.response
  if (/^TPM_RC_REFERENCE_S[0-6]$/.test(name) || name === 'TPM_RC_CONTEXT_GAP') return true
  if (name !== 'TPM_RC_HANDLE' && name !== 'TPM_RC_VALUE') return false
  return about?.kind === 'session' || (name === 'TPM_RC_HANDLE' && layer === 'resource manager')
}
