/**
 * Meeting a policy, step by step, in a policy session. `policy/calculator.ts` says which digest comes out.
 *
 * Source: TCG TPM 2.0 Library rev 1.59, Part 3 §23 (enhanced authorization), §11.2 (PolicyRestart).
 */

import {
  type ByteReader,
  ByteWriter,
  concat,
  encodePcrSelection,
  encodeTpmtSignature,
  type PcrSelection,
  TPM_CC,
  type TpmCommandName,
  type TpmSignature,
} from '@reprise/core'
import { type Command, command, type Encryptable, nothing } from '../command.ts'
import type { Entity } from '../entity.ts'
import type { Session } from '../session/session.ts'
import type { Ticket } from './attest.ts'

interface PolicyStep {
  readonly policySession: Session
}

const EMPTY = new Uint8Array()

function step(
  name: TpmCommandName,
  { policySession }: PolicyStep,
  parameters: Uint8Array = EMPTY,
  encryptable: Encryptable = 'none',
): Command<void> {
  return command(name, { handles: [policySession], parameters, encryptable, decode: nothing })
}

/** @param request.pcrDigest - When given, the TPM refuses at once unless the registers hold it. */
export function PolicyPCR(
  request: PolicyStep & { readonly pcrs: readonly PcrSelection[]; readonly pcrDigest?: Uint8Array },
): Command<void> {
  const parameters = new ByteWriter()
    .tpm2b(request.pcrDigest ?? EMPTY)
    .raw(encodePcrSelection(request.pcrs))
    .done()
  return step('PolicyPCR', request, parameters, 'command')
}

/** The object's authValue must be known as well; it goes into the HMAC, never over the wire. */
export function PolicyAuthValue(request: PolicyStep): Command<void> {
  return command('PolicyAuthValue', {
    handles: [request.policySession],
    decode: () => {
      request.policySession.authValueNeeded = true
    },
  })
}

/** @param request.code - The only command that may be authorized. */
export function PolicyCommandCode(request: PolicyStep & { readonly code: TpmCommandName }): Command<void> {
  return step('PolicyCommandCode', request, new ByteWriter().u32(TPM_CC[request.code]).done())
}

/** One of two to eight alternatives. @param request.pHashList - Their digests; the session's own must be among them. */
export function PolicyOR(request: PolicyStep & { readonly pHashList: readonly Uint8Array[] }): Command<void> {
  const parameters = new ByteWriter().u32(request.pHashList.length)
  for (const digest of request.pHashList) parameters.tpm2b(digest)
  return step('PolicyOR', request, parameters.done())
}

/** What a PolicySigned or PolicySecret gives back for later use; empty unless `expiration` is negative. */
export interface PolicyTicket {
  readonly timeout: Uint8Array
  readonly policyTicket: Ticket
}

function readPolicyTicket(parameters: ByteReader): PolicyTicket {
  return { timeout: parameters.tpm2b().slice(), policyTicket: parameters.rest().slice() }
}

/** How far an authorization reaches; the same words in PolicySigned and PolicySecret. */
export interface PolicyScope {
  readonly policyRef?: Uint8Array
  /** Restricts it to one command with these parameters. */
  readonly cpHashA?: Uint8Array
  /** Seconds; 0 means for as long as the session. */
  readonly expiration?: number
  /** Restricts it to this very session. */
  readonly nonceTPM?: Uint8Array
}

function scopeParameters(scope: PolicyScope): ByteWriter {
  return new ByteWriter()
    .tpm2b(scope.nonceTPM ?? EMPTY)
    .tpm2b(scope.cpHashA ?? EMPTY)
    .tpm2b(scope.policyRef ?? EMPTY)
    .u32((scope.expiration ?? 0) >>> 0)
}

/** Knows the authValue of another entity; `PolicySecret(ENDORSEMENT)` opens the endorsement keys. */
export function PolicySecret(
  request: PolicyStep & PolicyScope & { readonly authHandle: Entity },
): Command<PolicyTicket> {
  return command('PolicySecret', {
    handles: [request.authHandle, request.policySession],
    authorizations: 1,
    parameters: scopeParameters(request).done(),
    encryptable: 'both',
    decode: ({ parameters }) => readPolicyTicket(parameters),
  })
}

/** What the signer of a PolicySigned signs, before hashing. */
export function policySignedMessage(scope: PolicyScope): Uint8Array {
  const expiration = new ByteWriter().u32((scope.expiration ?? 0) >>> 0).done()
  return concat(scope.nonceTPM ?? EMPTY, expiration, scope.cpHashA ?? EMPTY, scope.policyRef ?? EMPTY)
}

/** Holds a signature over {@link policySignedMessage} by the key in `authObject`. */
export function PolicySigned(
  request: PolicyStep & PolicyScope & { readonly authObject: Entity; readonly auth: TpmSignature },
): Command<PolicyTicket> {
  return command('PolicySigned', {
    handles: [request.authObject, request.policySession],
    parameters: scopeParameters(request).raw(encodeTpmtSignature(request.auth)).done(),
    encryptable: 'both',
    decode: ({ parameters }) => readPolicyTicket(parameters),
  })
}

/** What the approver of a PolicyAuthorize signs, before hashing. */
export function policyAuthorizeMessage(approval: {
  readonly approvedPolicy: Uint8Array
  readonly policyRef?: Uint8Array
}): Uint8Array {
  return concat(approval.approvedPolicy, approval.policyRef ?? EMPTY)
}

/**
 * Replaces a policy that somebody approved by the Name of the approver.
 *
 * @param request.checkTicket - TPM2_VerifySignature's answer for {@link policyAuthorizeMessage}.
 */
export function PolicyAuthorize(
  request: PolicyStep & {
    readonly approvedPolicy: Uint8Array
    readonly policyRef?: Uint8Array
    readonly keySign: Uint8Array
    readonly checkTicket: Ticket
  },
): Command<void> {
  const parameters = new ByteWriter()
    .tpm2b(request.approvedPolicy)
    .tpm2b(request.policyRef ?? EMPTY)
    .tpm2b(request.keySign)
    .raw(request.checkTicket)
  return step('PolicyAuthorize', request, parameters.done(), 'command')
}

/** Replaces the policy that an NV index holds (as hash algorithm and digest) by the Name of the index. */
export function PolicyAuthorizeNV(
  request: PolicyStep & { readonly authHandle: Entity; readonly nvIndex: Entity },
): Command<void> {
  return command('PolicyAuthorizeNV', {
    handles: [request.authHandle, request.nvIndex, request.policySession],
    authorizations: 1,
    decode: nothing,
  })
}

/** `operation` is a value of `TPM_EO`: the stored value on its left, `operandB` on its right. */
export interface PolicyComparison {
  readonly operandB: Uint8Array
  readonly offset?: number
  readonly operation: number
}

function comparison({ operandB, offset = 0, operation }: PolicyComparison): Uint8Array {
  return new ByteWriter().tpm2b(operandB).u16(offset).u16(operation).done()
}

/** Compares what an NV index holds. */
export function PolicyNV(
  request: PolicyStep & PolicyComparison & { readonly authHandle: Entity; readonly nvIndex: Entity },
): Command<void> {
  return command('PolicyNV', {
    handles: [request.authHandle, request.nvIndex, request.policySession],
    authorizations: 1,
    parameters: comparison(request),
    encryptable: 'command',
    decode: nothing,
  })
}

/** Compares TPMS_TIME_INFO: time at offset 0, clock at 8, resetCount at 16, restartCount at 20, safe at 24. */
export function PolicyCounterTimer(request: PolicyStep & PolicyComparison): Command<void> {
  return step('PolicyCounterTimer', request, comparison(request), 'command')
}

export function PolicyGetDigest(request: PolicyStep): Command<{ readonly policyDigest: Uint8Array }> {
  return command('PolicyGetDigest', {
    handles: [request.policySession],
    encryptable: 'response',
    decode: ({ parameters }) => ({ policyDigest: parameters.tpm2b().slice() }),
  })
}

/** Begins the policy again, in the same session. */
export function PolicyRestart(request: { readonly sessionHandle: Session }): Command<void> {
  return command('PolicyRestart', {
    handles: [request.sessionHandle],
    decode: () => {
      request.sessionHandle.authValueNeeded = false
    },
  })
}
