/**
 * Signing and attestation. `signHandle` must have a scheme of its own; the commands do not choose one.
 *
 * Source: TCG TPM 2.0 Library rev 1.59, Part 3 §18 (attestation), §20 (signing), §31.16 (NV_Certify).
 */

import {
  type ByteReader,
  ByteWriter,
  decodeTpmtSignature,
  encodePcrSelection,
  encodeTpmtSignature,
  type PcrSelection,
  TPM_ALG,
  TPM_RH,
  TPM_ST,
  type TpmSignature,
} from '@reprise/core'
import { type Command, command } from '../command.ts'
import type { Entity } from '../entity.ts'
import type { Session } from '../session/session.ts'

/** Signed evidence, as bytes that `core` decodes and checks. */
export interface Attested {
  /** TPMS_ATTEST: `decodeTpmsAttest` reads it. */
  readonly attest: Uint8Array
  /** TPMT_SIGNATURE: `decodeTpmtSignature` reads it. */
  readonly signature: Uint8Array
}

function readAttested(parameters: ByteReader): Attested {
  return { attest: parameters.tpm2b().slice(), signature: parameters.rest().slice() }
}

interface Qualified {
  readonly signHandle: Entity
  /** At most 64 bytes; comes back as `extraData`. */
  readonly qualifyingData: Uint8Array
}

/** TPMT_SIG_SCHEME of TPM_ALG_NULL: the key's own scheme. */
const OWN_SCHEME = new ByteWriter().u16(TPM_ALG.NULL).done()

function qualified({ qualifyingData }: Qualified): ByteWriter {
  return new ByteWriter().tpm2b(qualifyingData).raw(OWN_SCHEME)
}

export function Quote(request: Qualified & { readonly pcrSelect: readonly PcrSelection[] }): Command<Attested> {
  return command('Quote', {
    handles: [request.signHandle],
    authorizations: 1,
    parameters: qualified(request).raw(encodePcrSelection(request.pcrSelect)).done(),
    encryptable: 'both',
    decode: ({ parameters }) => readAttested(parameters),
  })
}

export function Certify(request: Qualified & { readonly objectHandle: Entity }): Command<Attested> {
  return command('Certify', {
    handles: [request.objectHandle, request.signHandle],
    authorizations: 2,
    parameters: qualified(request).done(),
    encryptable: 'both',
    decode: ({ parameters }) => readAttested(parameters),
  })
}

/** @param request.privacyAdminHandle - The endorsement hierarchy. */
export function GetTime(request: Qualified & { readonly privacyAdminHandle: Entity }): Command<Attested> {
  return command('GetTime', {
    handles: [request.privacyAdminHandle, request.signHandle],
    authorizations: 2,
    parameters: qualified(request).done(),
    encryptable: 'both',
    decode: ({ parameters }) => readAttested(parameters),
  })
}

/** Signs the digest over everything `sessionHandle` audited; `sessionAuditDigest` of `core` recomputes it. */
export function GetSessionAuditDigest(
  request: Qualified & { readonly privacyAdminHandle: Entity; readonly sessionHandle: Session },
): Command<Attested> {
  return command('GetSessionAuditDigest', {
    handles: [request.privacyAdminHandle, request.signHandle, request.sessionHandle],
    authorizations: 2,
    parameters: qualified(request).done(),
    encryptable: 'both',
    decode: ({ parameters }) => readAttested(parameters),
  })
}

/** Signs what an NV index holds. @param request.authHandle - The index itself or a hierarchy that may read it. */
export function NvCertify(
  request: Qualified & {
    readonly authHandle: Entity
    readonly nvIndex: Entity
    readonly size: number
    readonly offset?: number
  },
): Command<Attested> {
  return command('NV_Certify', {
    handles: [request.signHandle, request.authHandle, request.nvIndex],
    authorizations: 2,
    parameters: qualified(request)
      .u16(request.size)
      .u16(request.offset ?? 0)
      .done(),
    encryptable: 'both',
    decode: ({ parameters }) => readAttested(parameters),
  })
}

/** Signs a digest made outside the TPM; a restricted key refuses. */
export function Sign(request: { readonly keyHandle: Entity; readonly digest: Uint8Array }): Command<TpmSignature> {
  const noTicket = new ByteWriter().u16(TPM_ST.HASHCHECK).u32(TPM_RH.NULL).tpm2b(new Uint8Array()).done()
  return command('Sign', {
    handles: [request.keyHandle],
    authorizations: 1,
    parameters: new ByteWriter().tpm2b(request.digest).raw(OWN_SCHEME).raw(noTicket).done(),
    encryptable: 'command',
    decode: ({ parameters }) => decodeTpmtSignature(parameters.rest().slice()),
  })
}

/** A ticket: the TPM's word to itself. Opaque bytes of TPMT_TK_VERIFIED or TPMT_TK_AUTH. */
export type Ticket = Uint8Array

export function VerifySignature(request: {
  readonly keyHandle: Entity
  readonly digest: Uint8Array
  readonly signature: TpmSignature
}): Command<{ readonly validation: Ticket }> {
  return command('VerifySignature', {
    handles: [request.keyHandle],
    parameters: new ByteWriter().tpm2b(request.digest).raw(encodeTpmtSignature(request.signature)).done(),
    encryptable: 'command',
    decode: ({ parameters }) => ({ validation: parameters.rest().slice() }),
  })
}
