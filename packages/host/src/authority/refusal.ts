/** How an authority says no: closed codes, which hosts get as they are (spec/enrolment.md §5). */

import { HostError } from '../error.ts'

/** With the HTTP status of each. */
export const REFUSALS = {
  MALFORMED: 400, // not exactly a message of the protocol
  EK_UNFIT: 422, // the endorsement key is not a restricted decryption key of this TPM
  EK_CERTIFICATE: 422, // the EK certificate is for another key
  AK_UNFIT: 422, // the attestation key would sign what others give it, or could have been made outside
  TIER: 403, // the TPM counts less than this authority asks for
  NAME: 403, // the name is not one that this host may have
  NAME_TAKEN: 409, // another host is called that
  EK_TAKEN: 409, // the endorsement key has a certificate for another attestation key
  EK_CHANGED: 409, // the attestation key has a certificate with another endorsement key
  AK_REVOKED: 403, // a certificate for this attestation key was revoked
  UNKNOWN: 404, // there is no such request, or no such page
  USED: 409, // the challenge was answered before
  EXPIRED: 410, // the challenge was not answered in time
  SECRET: 403, // the answer does not have what the challenge hides
  QUOTE: 403, // the quote is not by that key over this answer
  METHOD: 405, // a page that is read is written, or the other way round
  TOO_LARGE: 413, // a message of more bytes than any is long
  RATE: 429, // more requests than one address may make
  BUSY: 503, // more open challenges than the authority keeps
} as const

export type Refusal = keyof typeof REFUSALS

export function isRefusal(code: unknown): code is Refusal {
  return typeof code === 'string' && Object.hasOwn(REFUSALS, code)
}

export function refusal(code: Refusal, message: string, hint?: string): HostError {
  return new HostError('ENROLMENT_REFUSED', { message, ...(hint !== undefined && { hint }), data: { refusal: code } })
}

/** @returns Undefined for an error that is none. */
export function refusalCode(error: unknown): Refusal | undefined {
  if (!(error instanceof HostError) || error.code !== 'ENROLMENT_REFUSED') return undefined
  const code = error.data['refusal']
  return isRefusal(code) ? code : undefined
}
