import { RepriseError } from '@reprise/core'

const HOST_ERROR_CODES = [
  'HOME', // the state folder cannot be used
  'TPM_MISSING', // there is no TPM of the kind that is asked for, or no right to use it
  'TPM_UNFIT', // the TPM lacks an algorithm, registers or room that an identity needs
  'TPM_LOCKED', // a hierarchy of the TPM has a password
  'TPM_CHANGED', // the TPM was cleared or replaced since this host got its identity
  'TPM_FAILED', // the TPM or swtpm went away or refused
  'TPM_WAS_RESET', // the TPM is reset again and again, so that no statement about it holds
  'TPM_ROLLED_BACK', // the TPM's state is older than what was seen of it, or was used elsewhere
  'IDENTITY_DAMAGED', // files of the identity are missing or wrong
  'SIGNER_START', // the signer could not be started
  'SIGNER_LOST', // the signer went away and did not come back
  'HOST_CHANGED', // the signer came back with another identity
  'RUN_TAKEN', // the same run was opened again by somebody else
  'PROTOCOL', // a message that is none, or a signer of another version
  'BUSY', // runs are open
  'LIMIT', // more runs or connections than the signer takes
  'TIMEOUT', // no answer in time
  'CLOSED', // the caller closed it itself
  // Enrolment, as a host sees it.
  'AUTHORITY_UNREACHABLE', // nobody answers there, or not an authority
  'AUTHORITY_UNKNOWN', // the authority is another one than was asked for
  'CERTIFICATE', // a certificate that does not belong to this host or to that authority
  'ENROLMENT_REFUSED', // the authority said no; data.refusal has its code
  // An authority, as its operator sees it.
  'AUTHORITY_HOME', // there is no authority in the folder, or there is one already, or somebody else works in it
  'AUTHORITY_KEY', // its key is missing, locked or of another authority
  'AUTHORITY_LOG', // its log was changed or damaged
  'AUTHORITY_NAME', // no request, certificate or endorsement key is called that, or several are
  'AUTHORITY_STATE', // what is asked for does not fit what has happened
  'LISTEN', // nobody can be served at that address
] as const

export type HostErrorCode = (typeof HOST_ERROR_CODES)[number]

export function isHostErrorCode(code: string): code is HostErrorCode {
  return (HOST_ERROR_CODES as readonly string[]).includes(code)
}

/** What `@reprise/host` throws. */
export class HostError extends RepriseError<HostErrorCode> {}
