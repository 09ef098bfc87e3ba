/** What the fleet's approver signs for a host: boots that may read shares, and leases of chips without PolicyAuthorizeNV. Rules: spec/release.md §4. */

import { ByteWriter, type PublicArea, TPM_EO, type TpmSignature } from '@reprise/core'
import { type NvIndex, policyAuthorizeMessage, policyOf, type PolicyClause } from '@reprise/tpm'
import type { HostId } from '../types.ts'
import { type BootState, pcrClause } from './boot-state.ts'
import { type LeaseTerms, leaseClauses } from './lease.ts'
import type { RuledClause } from './storage.ts'
import { type ApprovalPurpose, approvalRef } from './words.ts'

/** Numbers count up for each host; taking back number n takes back all up to it. */
interface ApprovalNumber {
  readonly host: HostId
  /** The host's counter of approvals (§5). */
  readonly counter: Pick<NvIndex, 'handle' | 'name'>
  /** Value of that counter up to which the approval holds. */
  readonly number: bigint
}

/** A boot in which a host may read the shares that it keeps for others. */
export interface ShareApproval extends ApprovalNumber {
  readonly purpose: 'share'
  readonly boot: BootState
}

/** A lease, where it cannot be put into an index. */
export interface LeaseApproval extends ApprovalNumber {
  readonly purpose: 'lease'
  readonly terms: LeaseTerms
}

export type Approval = ShareApproval | LeaseApproval

export interface SignedApproval<Of extends Approval = Approval> {
  readonly approval: Of
  readonly signature: TpmSignature
}

function numberClause({ counter, number }: ApprovalNumber): RuledClause {
  const operandB = new ByteWriter().u64(number).done()
  return { rule: 'revoked', clause: { kind: 'nv', index: counter, operandB, operation: TPM_EO.UNSIGNED_LE } }
}

/** What is approved, up to the approval itself. @param boot - Which of a lease's boots is to meet it. */
function approvedClauses(approval: Approval, boot = 0): readonly RuledClause[] {
  const what: readonly RuledClause[] =
    approval.purpose === 'share'
      ? [{ rule: 'boot', clause: pcrClause(approval.boot) }]
      : leaseClauses(approval.terms, boot)
  return [...what, numberClause(approval)]
}

/** What the approver signs, before hashing with SHA-256. */
export function approvalMessage(approval: Approval): Uint8Array {
  const approvedPolicy = policyOf(approvedClauses(approval).map(({ clause }) => clause)).digest
  return policyAuthorizeMessage({ approvedPolicy, policyRef: approvalRef(approval.host, approval.purpose) })
}

/** What an object's policy has of it: the approver and what for, not what is approved. */
export function approvalClause(
  host: HostId,
  purpose: ApprovalPurpose,
  approver: PublicArea,
): PolicyClause & { readonly kind: 'authorize' } {
  return { kind: 'authorize', approver, policyRef: approvalRef(host, purpose) }
}

/** The whole sequence that meets an approval. */
export function approvalClauses(signed: SignedApproval, approver: PublicArea, boot = 0): readonly RuledClause[] {
  const { approval, signature } = signed
  const clause = { ...approvalClause(approval.host, approval.purpose, approver), signature }
  return [...approvedClauses(approval, boot), { rule: 'approval', clause }]
}
