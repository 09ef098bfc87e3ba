/**
 * The TPM half: sealed once for a generation, opened by a lease, by an approval, or by operators. Rules: spec/release.md §3.
 */

import { ByteWriter, hex, TPM_EO, type TpmSignature } from '@reprise/core'
import {
  alternatives,
  type NvIndex,
  openNvIndex,
  type Policy,
  policyOf,
  policySignedMessage,
  type PolicyClause,
} from '@reprise/tpm'
import { RecoveryError } from '../error.ts'
import { operatorWayCount } from '../plan/check.ts'
import { OPERATOR_WAYS_MAX } from '../plan/forms.ts'
import type { HostId } from '../types.ts'
import { approvalClause, approvalClauses, type LeaseApproval, type SignedApproval } from './approval.ts'
import { count, defineLease, leaseHandle, openCounter, readCounter } from './indexes.ts'
import { type PolicySigner, signerArea } from './keys.ts'
import { leaseClauses, leasePolicy, type LeaseTerms, leaseWritePolicy, writeLease } from './lease.ts'
import type { Secret } from './secret.ts'
import { type Opened, type PinnedTpm, type RuledClause, seal, type SealedObject, unseal } from './storage.ts'
import { breakGlassRef } from './words.ts'

/** Where a lease is. */
export type LeasePlace =
  | { readonly kind: 'index'; readonly index: NvIndex }
  /** For chips without PolicyAuthorizeNV. @param approver - Of the fleet, uncompressed point of P-256. */
  | { readonly kind: 'approvals'; readonly approver: Uint8Array }

/** Who releases a host by hand: m of n keys, a nonce of this generation, and the value at which the counter must stand. */
export interface BreakGlassLock {
  readonly needed: number
  /** Uncompressed points of P-256, in the plan's order. */
  readonly operators: readonly Uint8Array[]
  readonly nonce: Uint8Array
  readonly counter: NvIndex
  readonly unused: bigint
}

/** A sealed TPM half with everything that opening it needs. Nothing of it is secret. */
export interface TpmHalf {
  readonly host: HostId
  readonly epoch: number
  readonly lease: LeasePlace
  readonly breakGlass: BreakGlassLock
  readonly sealed: SealedObject
}

const NONCE_BYTES = 32
const EXPIRATION_S_MAX = 86_400

/** Every choice of `needed` out of `count`, ascending, in order. */
function choices(count: number, needed: number, from = 0): readonly (readonly number[])[] {
  if (needed === 0) return [[]]
  const firsts = Array.from({ length: Math.max(0, count - from - needed + 1) }, (_, i) => from + i)
  return firsts.flatMap((first) => choices(count, needed - 1, first + 1).map((rest) => [first, ...rest]))
}

function operatorWays({ needed, operators }: BreakGlassLock): readonly (readonly number[])[] {
  const count = operators.length
  const ways = Number.isInteger(needed) && needed >= 1 ? operatorWayCount(count, needed) : 0
  const distinct = new Set(operators.map(hex)).size === count
  if (ways >= 1 && ways <= OPERATOR_WAYS_MAX && distinct) return choices(count, needed)
  throw new RecoveryError('USAGE', {
    message: distinct
      ? `${needed} of ${count} operators are ${ways} ways to release a host; a policy takes 1 to ${OPERATOR_WAYS_MAX}.`
      : 'An operator key is named twice.',
    hint: 'Up to seven operators fit with any number needed.',
  })
}

/** One operator's clause; without a signature where only the digest is wanted. */
function operatorClause(
  host: HostId,
  lock: BreakGlassLock,
  operator: number,
): PolicyClause & { readonly kind: 'signed' } {
  return { kind: 'signed', signer: signerArea(lock.operators[operator]), policyRef: breakGlassRef(host, lock.nonce) }
}

function unusedClause({ counter, unused }: BreakGlassLock): PolicyClause {
  const operandB = new ByteWriter().u64(unused).done()
  return { kind: 'nv', index: counter, operandB, operation: TPM_EO.EQ }
}

function operatorsTree(host: HostId, lock: BreakGlassLock): ReturnType<typeof alternatives> {
  const ways = operatorWays(lock)
  return alternatives(ways.map((way) => policyOf(way.map((operator) => operatorClause(host, lock, operator)))))
}

/** Branch 2 of the policy (§3.4). */
export function breakGlassPolicy(host: HostId, lock: BreakGlassLock): Policy {
  return policyOf([unusedClause(lock)], operatorsTree(host, lock).policy)
}

/** Branch 1 (§3.3): the Name of the lease index, or of the approver. */
function leaseBranch(host: HostId, lease: LeasePlace): Policy {
  return lease.kind === 'index'
    ? policyOf([{ kind: 'authorizeNv', index: lease.index }])
    : policyOf([approvalClause(host, 'lease', signerArea(lease.approver))])
}

/** The policy of the sealed half is PolicyOR of these two. */
export function halfBranches({
  host,
  lease,
  breakGlass,
}: Pick<TpmHalf, 'host' | 'lease' | 'breakGlass'>): readonly Policy[] {
  return [leaseBranch(host, lease), breakGlassPolicy(host, breakGlass)]
}

/** The policy of the sealed half: either branch. */
function halfPolicy(half: Pick<TpmHalf, 'host' | 'lease' | 'breakGlass'>): Policy {
  return alternatives(halfBranches(half)).policy
}

/** After a branch was met. */
function eitherClause(half: TpmHalf): RuledClause {
  return { rule: 'policy', clause: { kind: 'or', alternatives: halfBranches(half).map(({ digest }) => digest) } }
}

export interface SealHalfRequest {
  readonly host: HostId
  readonly epoch: number
  readonly secret: Secret
  /** Where the first lease goes: into an index that this key writes, or to an approver. */
  readonly lease:
    | { readonly kind: 'index'; readonly key: PolicySigner; readonly terms: LeaseTerms }
    | { readonly kind: 'approvals'; readonly approver: Uint8Array }
  readonly operators: readonly Uint8Array[]
  readonly needed: number
  readonly random: (lengthBytes: number) => Uint8Array
}

/**
 * Seals a half for a generation. Everything of the generation before stays as it is: another lease index, another object.
 *
 * @throws {@link RecoveryError} `PIN`, `TPM`, `USAGE` for operators or a lease that no policy can express.
 */
export async function sealHalf(pinned: PinnedTpm, request: SealHalfRequest): Promise<TpmHalf> {
  const { host, epoch, operators, needed } = request
  const counter = await openCounter(pinned, 'breakGlass')
  const unused = await readCounter(pinned, counter)
  const breakGlass = { needed, operators, nonce: request.random(NONCE_BYTES), counter, unused }
  operatorWays(breakGlass)
  const lease = await placeLease(pinned, request)
  const sealed = await seal(pinned, halfPolicy({ host, lease, breakGlass }), request.secret)
  return { host, epoch, lease, breakGlass, sealed }
}

async function placeLease(pinned: PinnedTpm, { host, epoch, lease }: SealHalfRequest): Promise<LeasePlace> {
  if (lease.kind === 'approvals') return lease
  const { key, terms } = lease
  const policy = leasePolicy(terms)
  const empty = await defineLease(pinned, leaseHandle(epoch), leaseWritePolicy(host, key))
  await writeLease(pinned, { host, index: empty, key, policy })
  return { kind: 'index', index: await openNvIndex(pinned.tpm, empty.handle) }
}

/** Opens the half by what its lease index holds. @param boot - Which of the lease's boots this is. */
export async function openByLease(pinned: PinnedTpm, half: TpmHalf, terms: LeaseTerms, boot = 0): Promise<Opened> {
  if (half.lease.kind !== 'index') throw new RecoveryError('USAGE', { message: 'This half has no lease index.' })
  const { index } = half.lease
  const lease: RuledClause = { rule: 'lease', clause: { kind: 'authorizeNv', index } }
  return unseal(pinned, half.sealed, [...leaseClauses(terms, boot), lease, eitherClause(half)])
}

/** Opens the half by a lease that the approver signed. */
export async function openByApproval(
  pinned: PinnedTpm,
  half: TpmHalf,
  signed: SignedApproval<LeaseApproval>,
  boot = 0,
): Promise<Opened> {
  if (half.lease.kind !== 'approvals') throw new RecoveryError('USAGE', { message: 'This half has no approver.' })
  const approver = signerArea(half.lease.approver)
  return unseal(pinned, half.sealed, [...approvalClauses(signed, approver, boot), eitherClause(half)])
}

/** What operators are asked to sign, each for himself (§3.4). */
export interface BreakGlassRequest {
  readonly host: HostId
  readonly epoch: number
  /** Of the generation. */
  readonly nonce: Uint8Array
  /** Of the session that waits for them; it ends with the process that asks, or with the TPM's power. */
  readonly nonceTpm: Uint8Array
  /** Seconds from the start of that session. */
  readonly expirationS: number
}

export interface OperatorStatement {
  /** Position in the plan's list of operators. */
  readonly operator: number
  readonly signature: TpmSignature
}

/** What an operator signs, before hashing with SHA-256. */
export function breakGlassMessage({ host, nonce, nonceTpm, expirationS }: BreakGlassRequest): Uint8Array {
  return policySignedMessage({
    nonceTPM: nonceTpm,
    expiration: expirationS,
    policyRef: breakGlassRef(host, nonce),
  })
}

/**
 * Opens the half by the statements of operators, once in the life of a generation: the counter moves on before anybody gets the half.
 *
 * @param ceremony.collect - Asks the operators. The first statements of `needed` different operators count.
 * @throws {@link RecoveryError} `OPERATORS` when there are too few.
 */
export async function openByOperators(
  pinned: PinnedTpm,
  half: TpmHalf,
  ceremony: {
    readonly expirationS: number
    readonly collect: (request: BreakGlassRequest) => Promise<readonly OperatorStatement[]>
  },
): Promise<Opened> {
  const { host, epoch, breakGlass } = half
  const { expirationS } = ceremony
  // Nought is for as long as the session lives, and a negative one asks for a ticket that outlives it.
  if (!Number.isInteger(expirationS) || expirationS < 1 || expirationS > EXPIRATION_S_MAX)
    throw new RecoveryError('USAGE', {
      message: `Operators have 1 to ${EXPIRATION_S_MAX} seconds, not ${expirationS}.`,
    })
  const opened = await unseal(pinned, half.sealed, async (nonceTpm) => {
    const asked = { host, epoch, nonce: breakGlass.nonce, nonceTpm, expirationS }
    return [...operatorClauses(half, expirationS, await ceremony.collect(asked)), eitherClause(half)]
  })
  if (opened.kind === 'refused') return opened
  try {
    await count(pinned, breakGlass.counter)
    return opened
  } catch (error) {
    opened.secret[Symbol.dispose]()
    throw error
  }
}

function operatorClauses(
  { host, breakGlass }: TpmHalf,
  expiration: number,
  statements: readonly OperatorStatement[],
): readonly RuledClause[] {
  const { needed, operators } = breakGlass
  const first = new Map(statements.toReversed().map(({ operator, signature }) => [operator, signature]))
  const way = [...first.keys()]
    .filter((operator) => operator < operators.length)
    .slice(0, needed)
    .toSorted((a, b) => a - b)
  if (way.length < needed) {
    throw new RecoveryError('OPERATORS', {
      message: `${host} is released by ${needed} of ${operators.length} operators; ${way.length} of them made a statement.`,
      hint: 'Nothing was used up. Ask again, and have more of them sign.',
    })
  }
  const position = operatorWays(breakGlass).findIndex((one) => one.join() === way.join())
  const signed = way.map((operator): RuledClause => ({
    rule: 'operators',
    clause: {
      ...operatorClause(host, breakGlass, operator),
      expiration,
      signature: first.get(operator) as TpmSignature,
    },
  }))
  const path = operatorsTree(host, breakGlass).path(position)
  return [
    ...signed,
    ...path.map((clause) => ({ rule: 'operators', clause }) as const),
    { rule: 'used', clause: unusedClause(breakGlass) },
  ]
}
