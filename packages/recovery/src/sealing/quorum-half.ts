/** The quorum half: its shares, what a witness keeps of one, and the set in escrow for operators. Rules: spec/release.md §6. */

import { equal, hex, utf8 } from '@reprise/core'
import { policyOf } from '@reprise/tpm'
import { combine, split } from 'shamir-secret-sharing'
import { RecoveryError } from '../error.ts'
import { shareDigest } from '../plan/digest.ts'
import type { HostId, Share } from '../types.ts'
import { approvalClause, approvalClauses, type ShareApproval, type SignedApproval } from './approval.ts'
import { openSealed, type SealedTo, sealTo } from './hpke.ts'
import { signerArea } from './keys.ts'
import { Secret } from './secret.ts'
import { type Opened, type PinnedTpm, seal, type SealedObject, unseal } from './storage.ts'
import { sha256, tagged } from './words.ts'

/** A half, and a byte that tells shares apart. */
export const SHARE_BYTES = 33
const SHARES_MAX = 255

/** Whose secret, in which epoch. */
export interface ShareScope {
  readonly host: HostId
  readonly epoch: number
}

/**
 * Splits a half so that `threshold` of `count` shares give it back, and fewer tell nothing.
 *
 * @throws {@link RecoveryError} `USAGE` unless 1 ≤ threshold ≤ count ≤ 255.
 */
export async function splitHalf(
  half: Secret,
  { host, epoch, count, threshold }: ShareScope & { readonly count: number; readonly threshold: number },
): Promise<readonly Share[]> {
  if (!(threshold >= 1 && threshold <= count && count <= SHARES_MAX))
    throw new RecoveryError('USAGE', {
      message: `A half cannot be split into ${count} shares of which ${threshold} give it back.`,
    })
  const parts =
    threshold === 1
      ? Array.from({ length: count }, (_, i) => Uint8Array.of(...half.bytes, i + 1))
      : await split(half.bytes, count, threshold)
  return parts.map((bytes, index) => ({
    host,
    epoch,
    index,
    bytes,
    digest: shareDigest({ host, epoch, index }, bytes, sha256),
  }))
}

/** What the plan says of a half's shares. */
export interface ShareDigests extends ShareScope {
  readonly threshold: number
  /** By index. */
  readonly digests: readonly Uint8Array[]
}

/** Whether a share is the one that was handed out. */
export function isShare(share: Omit<Share, 'digest'>, plan: ShareDigests): boolean {
  const expected = plan.digests[share.index]
  return (
    share.host === plan.host &&
    share.epoch === plan.epoch &&
    share.bytes.length === SHARE_BYTES &&
    expected !== undefined &&
    equal(shareDigest(share, share.bytes, sha256), expected)
  )
}

/**
 * Puts a half together. Shares that are not the ones of the plan are left out, whoever sent them.
 *
 * @throws {@link RecoveryError} `SHARES` when too few are left; it names the witnesses that sent others, by index.
 */
export async function combineShares(shares: readonly Omit<Share, 'digest'>[], plan: ShareDigests): Promise<Secret> {
  const valid = new Map(shares.filter((share) => isShare(share, plan)).map((share) => [share.index, share.bytes]))
  if (valid.size < plan.threshold) {
    const wrong = shares.filter((share) => !isShare(share, plan)).map(({ index }) => index)
    throw new RecoveryError('SHARES', {
      message: `${valid.size} valid shares of ${plan.host}, epoch ${plan.epoch}; ${plan.threshold} are needed${wrong.length === 0 ? '' : `, and those with index ${wrong.join(', ')} are not the plan's`}.`,
      hint: 'Wait for more witnesses. One that sends another share than it was given is of another epoch, or lies.',
      data: { valid: valid.size, threshold: plan.threshold, wrong },
    })
  }
  const parts = [...valid.values()].slice(0, plan.threshold)
  return Secret.owning(plan.threshold === 1 ? parts[0].slice(0, SHARE_BYTES - 1) : await combine(parts))
}

/** A share as a witness keeps it: on a disk that needs no unlocking, opened by its own TPM in its own approved boots. */
export interface KeptShare extends ShareScope {
  readonly index: number
  readonly sealed: SealedObject
}

/** @param witness.approver - Of the fleet: uncompressed point of P-256. */
export async function keepShare(
  pinned: PinnedTpm,
  share: Share,
  witness: { readonly id: HostId; readonly approver: Uint8Array },
): Promise<KeptShare> {
  const { host, epoch, index, bytes } = share
  using secret = Secret.owning(bytes.slice())
  const policy = policyOf([approvalClause(witness.id, 'share', signerArea(witness.approver))])
  return { host, epoch, index, sealed: await seal(pinned, policy, secret) }
}

/** Opens a kept share; a capped host and one that was reset often can as well. */
export function openShare(
  pinned: PinnedTpm,
  kept: KeptShare,
  by: { readonly approval: SignedApproval<ShareApproval>; readonly approver: Uint8Array },
): Promise<Opened> {
  return unseal(pinned, kept.sealed, approvalClauses(by.approval, signerArea(by.approver)))
}

/** A share for an operator. */
export interface EscrowedShare extends SealedTo {
  readonly index: number
}

function escrowInfo({ host, epoch }: ShareScope, index: number): Uint8Array {
  return tagged('reprise/escrow/v1').sized(utf8(host)).u64(BigInt(epoch)).u32(index).done()
}

/** A set of shares of its own, one for each operator. @param operators - Keys for agreement, not those that sign; uncompressed points of P-256. */
export async function escrowHalf(
  half: Secret,
  {
    host,
    epoch,
    operators,
    threshold,
  }: ShareScope & { readonly operators: readonly Uint8Array[]; readonly threshold: number },
): Promise<readonly EscrowedShare[]> {
  const shares = await splitHalf(half, { host, epoch, count: operators.length, threshold })
  return Promise.all(
    shares.map(async ({ index, bytes }) => {
      const sealed = await sealTo(operators[index], escrowInfo({ host, epoch }, index), bytes)
      bytes.fill(0)
      return { index, ...sealed }
    }),
  )
}

/**
 * What an operator does with the share in escrow.
 *
 * @param privateKey - Scalar of P-256, 32 bytes.
 * @throws {@link RecoveryError} `SHARES` when it is not for this key, host and epoch.
 */
export async function openEscrow(escrowed: EscrowedShare, scope: ShareScope, privateKey: Uint8Array): Promise<Secret> {
  try {
    return await openSealed(escrowed, escrowInfo(scope, escrowed.index), privateKey)
  } catch (cause) {
    throw new RecoveryError('SHARES', {
      message: `The share in escrow with index ${escrowed.index} (key ${hex(escrowed.enc.subarray(1, 5))}…) is not for this key, ${scope.host} and epoch ${scope.epoch}.`,
      hint: 'Use the file of the newest generation, and the key at that place in its list of operators.',
      cause: cause instanceof Error ? new Error(cause.name) : undefined,
    })
  }
}

/** Puts the half together from what operators opened. */
export async function combineEscrow(shares: readonly Secret[], threshold: number): Promise<Secret> {
  if (shares.length < threshold)
    throw new RecoveryError('SHARES', { message: `${shares.length} shares of operators; ${threshold} are needed.` })
  const parts = shares.slice(0, threshold).map(({ bytes }) => bytes)
  return Secret.owning(threshold === 1 ? parts[0].slice(0, SHARE_BYTES - 1) : await combine(parts))
}
