/**
 * Policies as sequences of clauses. One list gives the digest that goes into an object, and is what a session meets: the two
 * cannot part.
 *
 * Source: TCG TPM 2.0 Library rev 1.59, Part 1 §19.7, Part 3 §23.
 */

import { type PcrSelection, type PublicArea, encodeTpmtPublic, decodeTpmtPublic, objectName } from '@reprise/core'
import type { TpmSignature } from '@reprise/core'
import type { Executor } from '../command.ts'
import { VerifySignature } from '../commands/attest.ts'
import { LoadExternal } from '../commands/object.ts'
import {
  PolicyAuthorize,
  policyAuthorizeMessage,
  PolicyAuthorizeNV,
  type PolicyComparison,
  PolicyCounterTimer,
  PolicyNV,
  PolicyOR,
  PolicyPCR,
  PolicySigned,
} from '../commands/policy.ts'
import { type Entity, OWNER } from '../entity.ts'
import { hash } from '../hashing.ts'
import type { Session } from '../session/session.ts'
import { Policy } from './calculator.ts'

/** One step. What a digest needs is always there; what only meeting needs may be undefined where only a digest is wanted. */
export type PolicyClause =
  | { readonly kind: 'pcr'; readonly pcrs: readonly PcrSelection[]; readonly pcrDigest: Uint8Array }
  | ({ readonly kind: 'counterTimer' } & PolicyComparison)
  /** The index authorizes its own reading. */
  | ({ readonly kind: 'nv'; readonly index: Entity } & PolicyComparison)
  /** Replaces what stands before it by the Name of the index, which must hold the digest of that. */
  | { readonly kind: 'authorizeNv'; readonly index: Entity }
  /** Replaces what stands before it by the Name of the approver, who must have signed the digest of that. */
  | {
      readonly kind: 'authorize'
      readonly approver: PublicArea
      readonly policyRef: Uint8Array
      readonly signature?: TpmSignature
    }
  /** A signature for this very session, over its nonceTPM. */
  | {
      readonly kind: 'signed'
      readonly signer: PublicArea
      readonly policyRef: Uint8Array
      /** Seconds from the start of the session. */
      readonly expiration?: number
      readonly signature?: TpmSignature
    }
  | { readonly kind: 'or'; readonly alternatives: readonly Uint8Array[] }

/** Name of a key outside the TPM. */
export function externalName(area: PublicArea): Uint8Array {
  return objectName(decodeTpmtPublic(encodeTpmtPublic(area)), hash)
}

/** The digest that a session comes to when it has met all clauses, in order, after what it met before. */
export function policyOf(clauses: readonly PolicyClause[], before = new Policy()): Policy {
  return clauses.reduce(extend, before)
}

function extend(before: Policy, clause: PolicyClause): Policy {
  switch (clause.kind) {
    case 'pcr':
      return before.pcr(clause)
    case 'counterTimer':
      return before.counterTimer(clause)
    case 'nv':
      return before.nv({ ...clause, nvName: clause.index.name })
    case 'authorizeNv':
      return before.authorizeNv({ nvName: clause.index.name })
    case 'authorize':
      return before.authorize({ keySign: externalName(clause.approver), policyRef: clause.policyRef })
    case 'signed':
      return before.signed({ name: externalName(clause.signer), policyRef: clause.policyRef })
    default:
      return Policy.or(clause.alternatives.map((digest) => new Policy(before.algorithm, digest)))
  }
}

/** What {@link alternatives} gives. */
export interface Alternatives {
  readonly policy: Policy
  /** What a session adds that has met the alternative of this position. */
  readonly path: (position: number) => readonly PolicyClause[]
}

/** Part 3 §23.6: PolicyOR takes two to eight digests. */
const OR_MAX = 8

/** One policy out of any number: PolicyOR over groups of eight, and over those again, until one is left. */
export function alternatives(policies: readonly Policy[]): Alternatives {
  const levels: (readonly (readonly Policy[])[])[] = []
  let level = policies
  while (level.length > 1) {
    const groups = Array.from({ length: Math.ceil(level.length / OR_MAX) }, (_, i) =>
      level.slice(i * OR_MAX, (i + 1) * OR_MAX),
    )
    levels.push(groups)
    level = groups.map((group) => (group.length === 1 ? group[0] : Policy.or(group)))
  }
  const path = (position: number): readonly PolicyClause[] =>
    levels.flatMap((groups, depth): readonly PolicyClause[] => {
      const group = groups[Math.floor(position / OR_MAX ** (depth + 1))]
      return group.length === 1 ? [] : [{ kind: 'or', alternatives: group.map(({ digest }) => digest) }]
    })
  return { policy: level[0] ?? new Policy(), path }
}

/**
 * Meets the clauses in order. The TPM refuses at the first one that does not hold: `PolicyPCR` too, for it is told the digest.
 *
 * @param options.at - Called before each, with its position: who catches the refusal knows which clause it was.
 * @throws TpmError `RESPONSE`.
 */
export async function meetPolicy(
  tpm: Executor,
  policySession: Session,
  clauses: readonly PolicyClause[],
  options: { readonly at?: (position: number) => void } = {},
): Promise<void> {
  for (const [position, clause] of clauses.entries()) {
    options.at?.(position)
    await meet(tpm, policySession, { clause, before: clauses.slice(0, position) })
  }
}

async function meet(
  tpm: Executor,
  policySession: Session,
  { clause, before }: { readonly clause: PolicyClause; readonly before: readonly PolicyClause[] },
): Promise<void> {
  switch (clause.kind) {
    case 'pcr':
      return await tpm.execute(PolicyPCR({ policySession, ...clause }))
    case 'counterTimer':
      return await tpm.execute(PolicyCounterTimer({ policySession, ...clause }))
    case 'nv':
      return await tpm.execute(PolicyNV({ policySession, ...clause, authHandle: clause.index, nvIndex: clause.index }))
    case 'authorizeNv':
      return await tpm.execute(PolicyAuthorizeNV({ policySession, authHandle: clause.index, nvIndex: clause.index }))
    case 'authorize':
      return await meetApproval(tpm, policySession, { clause, approvedPolicy: policyOf(before).digest })
    case 'signed':
      return await meetSignature(tpm, policySession, clause)
    default:
      return await tpm.execute(PolicyOR({ policySession, pHashList: clause.alternatives }))
  }
}

async function meetApproval(
  tpm: Executor,
  policySession: Session,
  approval: { readonly clause: PolicyClause & { readonly kind: 'authorize' }; readonly approvedPolicy: Uint8Array },
): Promise<void> {
  const { clause, approvedPolicy } = approval
  const { approver, policyRef, signature } = clause
  if (signature === undefined) throw new TypeError('an approval without its signature cannot be met')
  await using key = await tpm.execute(LoadExternal({ inPublic: approver, hierarchy: OWNER }))
  const digest = hash('sha256', policyAuthorizeMessage({ approvedPolicy, policyRef }))
  const { validation } = await tpm.execute(VerifySignature({ keyHandle: key, digest, signature }))
  await tpm.execute(
    PolicyAuthorize({ policySession, approvedPolicy, policyRef, keySign: key.name, checkTicket: validation }),
  )
}

async function meetSignature(
  tpm: Executor,
  policySession: Session,
  { signer, policyRef, expiration = 0, signature }: PolicyClause & { readonly kind: 'signed' },
): Promise<void> {
  if (signature === undefined) throw new TypeError('a signature that is not there cannot be met')
  await using key = await tpm.execute(LoadExternal({ inPublic: signer, hierarchy: OWNER }))
  const scope = { nonceTPM: policySession.nonceTpm, policyRef, expiration }
  await tpm.execute(PolicySigned({ policySession, authObject: key, auth: signature, ...scope }))
}
