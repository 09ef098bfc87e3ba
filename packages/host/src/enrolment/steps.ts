/** The steps of an enrolment, whichever way the messages travel. Format: spec/enrolment.md §3. */

import { equal } from '@reprise/core'
import { HostError } from '../error.ts'
import type { Signer } from '../signer/client.ts'
import { authorityId, type ChainFacts, checkChain, fingerprint } from './chain.ts'
import {
  EK_CERTIFICATE_BYTES_MAX,
  type EnrolAnswer,
  type EnrolChallenge,
  type EnrolDecision,
  type EnrolRequest,
  hostName,
} from './messages.ts'

/** SHA-256 of the SubjectPublicKeyInfo of the root that is wanted; null for whichever the authority shows. */
export type Pin = Uint8Array | null

/** @throws {@link HostError} `PROTOCOL` for a name that no host can have. */
export async function makeRequest(signer: Signer, name: string): Promise<EnrolRequest> {
  hostName(name, 'the name of a host')
  const { ekPublic, ekIssuers } = await signer.endorsement()
  const { akPublic, ekCertificate } = signer.host
  if ((ekCertificate?.length ?? 0) > EK_CERTIFICATE_BYTES_MAX) {
    throw new HostError('CERTIFICATE', {
      message: `The certificate of the endorsement key has ${ekCertificate?.length} bytes; at most ${EK_CERTIFICATE_BYTES_MAX} are sent.`,
    })
  }
  return { schema: 'reprise/enrol-request/v1', name, akPublic, ekPublic, ekCertificate, ekIssuers }
}

/** @throws {@link HostError} `AUTHORITY_UNKNOWN`, `ENROLMENT_REFUSED` when the TPM does not open it. */
export async function answerChallenge(signer: Signer, challenge: EnrolChallenge, pin: Pin): Promise<EnrolAnswer> {
  const { request, root, name, credentialBlob, encryptedSecret } = challenge
  const authority = checkPin(root, pin)
  const proof = await signer.prove({ authority, id: request, name, credentialBlob, encryptedSecret })
  return { schema: 'reprise/enrol-answer/v1', request, ...proof }
}

/**
 * Keeps what was issued.
 *
 * @returns Undefined when it is not decided yet.
 * @throws {@link HostError} `AUTHORITY_UNKNOWN`, `CERTIFICATE`, `ENROLMENT_REFUSED` when it was rejected.
 */
export async function takeDecision(signer: Signer, decision: EnrolDecision, pin: Pin): Promise<ChainFacts | undefined> {
  const { state, root, certificates, reason } = decision
  if (state === 'waiting' || state === 'challenged') return undefined
  if (state === 'rejected') {
    throw new HostError('ENROLMENT_REFUSED', {
      message: `The authority rejected this host: ${reason === '' ? 'it gave no reason' : reason}`,
      hint: 'Ask its operator, then enrol again.',
      data: { refusal: 'REJECTED' },
    })
  }
  checkPin(root, pin)
  const facts = await checkChain({ root, certificates }, signer.host.akPublic)
  await signer.keep({ root, certificates })
  return facts
}

function checkPin(root: Uint8Array, pin: Pin): Uint8Array {
  const authority = authorityId(root)
  if (pin === null || equal(pin, authority)) return authority
  throw new HostError('AUTHORITY_UNKNOWN', {
    message: `This is the authority ${fingerprint(authority)}, not ${fingerprint(pin)}.`,
    hint: 'Somebody else answers there, or it was made anew. If you know it: --authority-root with its fingerprint.',
  })
}
