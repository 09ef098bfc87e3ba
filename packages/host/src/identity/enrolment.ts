/**
 * What the TPM does for an enrolment: shows its endorsement key, and proves that the attestation key is
 * beside it. Format: spec/enrolment.md §4.
 *
 * Source: TCG TPM 2.0 Library rev 1.59, Part 1 §24 (credential protection), Part 3 §12.5 (TPM2_ActivateCredential).
 */

import { enrolmentDigest, fromHex, hex, TPMA_OBJECT } from '@reprise/core'
import {
  ActivateCredential,
  ENDORSEMENT,
  type ObjectEntity,
  PolicySecret,
  StartAuthSession,
  type Tpm,
  TpmError,
} from '@reprise/tpm'
import { HostError } from '../error.ts'
import { sha256 } from '../hashing.ts'
import type { Quote } from '../signer/batcher.ts'
import type { Endorsement, Proof, ToProve } from '../signer/protocol.ts'
import { openEndorsementKey, readEkIssuers } from './ek.ts'
import type { Identity } from './identity.ts'

const SECRET_BYTES = 32

export async function readEndorsement(tpm: Tpm, identity: Identity): Promise<Endorsement> {
  await using ek = await endorsementKey(tpm, identity)
  const ekIssuers = identity.ekCertificate === null ? [] : await readEkIssuers(tpm)
  return { ekPublic: ek.public.raw, ekIssuers }
}

/**
 * Recovers what a credential hides, and quotes with the AK that this host did so, for that authority and that name.
 *
 * @throws {@link HostError} `ENROLMENT_REFUSED` when the credential is not for this TPM's keys.
 */
export async function proveEnrolment(
  tpm: Tpm,
  host: {
    readonly identity: Identity
    readonly hostId: Uint8Array
    readonly quote: (data: Uint8Array) => Promise<Quote>
  },
  asked: ToProve,
): Promise<Proof> {
  const { identity, hostId } = host
  const secret = await activate(tpm, identity, asked)
  const { authority, id: request, name } = asked
  const digest = enrolmentDigest({ authority, request, hostId, ekName: identity.ekName, name, secret }, sha256)
  const { attest, signature, pcrs } = await host.quote(digest)
  const values = Object.entries(pcrs).map(([index, value]) => [index, fromHex(value)] as const)
  return { secret, quote: { attest, signature, pcrs: { sha256: Object.fromEntries(values) } } }
}

async function activate(tpm: Tpm, identity: Identity, asked: ToProve): Promise<Uint8Array> {
  await using ek = await endorsementKey(tpm, identity)
  const { credentialBlob, encryptedSecret: secret } = asked
  const command = ActivateCredential({ activateHandle: identity.ak, keyHandle: ek, credentialBlob, secret })
  try {
    const { certInfo } = await withEk(tpm, ek, (session) => tpm.execute(command, { sessions: [undefined, session] }))
    if (certInfo.length === SECRET_BYTES) return certInfo.slice()
    throw new HostError('ENROLMENT_REFUSED', { message: `The challenge hides ${certInfo.length} bytes, not 32.` })
  } catch (cause) {
    if (!(cause instanceof TpmError) || cause.code !== 'RESPONSE') throw cause
    throw new HostError('ENROLMENT_REFUSED', {
      message: `The TPM does not open the challenge: ${cause.message}`,
      hint: 'It is for another host, or for a key that this host no longer has. Begin again: reprise host enroll',
      cause,
    })
  }
}

/** The templates for P-384 and larger let an empty authValue do; the others want the endorsement hierarchy's word. */
async function withEk<T>(
  tpm: Tpm,
  ek: ObjectEntity,
  use: (session: Awaited<ReturnType<typeof startPolicy>> | undefined) => Promise<T>,
): Promise<T> {
  if ((ek.public.objectAttributes & TPMA_OBJECT.userWithAuth) !== 0) return await use(undefined)
  await using session = await startPolicy(tpm)
  await tpm.execute(PolicySecret({ authHandle: ENDORSEMENT, policySession: session }))
  return await use(session)
}

function startPolicy(tpm: Tpm) {
  return tpm.execute(StartAuthSession({ sessionType: 'policy' }))
}

async function endorsementKey(tpm: Tpm, identity: Identity): Promise<ObjectEntity & AsyncDisposable> {
  const ek = await openEndorsementKey(tpm, identity.ekName)
  if (ek !== undefined) return ek
  throw new HostError('TPM_CHANGED', {
    message: `The endorsement key ${hex(identity.ekName)} is no longer in this TPM.`,
    hint: 'The TPM was cleared or replaced. To go on with it as a new host: reprise host init --new',
  })
}
