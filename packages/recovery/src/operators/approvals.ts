/** The approver's approvals of a plan: in which boots each host may read the shares that it keeps. Rules: spec/operators.md §2.3, spec/release.md §4. */
import { fromHex, utf8 } from '@reprise/core'
import { approvedBoots } from '../plan/boots.ts'
import { RecoveryError } from '../error.ts'
import { approvalMessage, type ShareApproval, type SignedApproval } from '../sealing/approval.ts'
import { approvalsCounter } from '../sealing/indexes.ts'
import { sha256, tagged } from '../sealing/words.ts'
import type { HostId, Plan } from '../types.ts'
import { type Signer, verifierOf } from './signatures.ts'
import type { PlanApproval, SignedPlan } from './signed-plan.ts'

/** An approval as a witness opens its shares with it. */
export interface HostApproval {
  /** Name of the boot in the plan. */
  readonly boot: string
  readonly signed: SignedApproval<ShareApproval>
}

function shareApproval(
  { host, number }: { readonly host: HostId; readonly number: bigint },
  registers: ShareApproval['boot'],
): ShareApproval {
  return { purpose: 'share', host, counter: approvalsCounter(), number, boot: registers }
}

/**
 * The approvals of one host: one for each boot that the plan approves for it and the approver signed for. Those that do not
 * hold are left out, whoever put them there.
 */
export function shareApprovals(
  { plan, approvals }: Pick<SignedPlan, 'plan' | 'approvals'>,
  host: HostId,
): HostApproval[] {
  if (plan.approver === undefined) return []
  const verify = verifierOf(plan.approver)
  const own = approvals.filter((each) => each.host === host)
  return approvedBoots(plan, host).flatMap(({ name, registers }) =>
    own
      .filter(({ boot }) => boot === name)
      .map(({ number, signature }) => ({ approval: shareApproval({ host, number }, registers), signature }))
      .filter(({ approval, signature }) => verify(approvalMessage(approval), signature))
      .map(({ approval, signature }) => ({
        boot: name,
        signed: { approval, signature: { scheme: { kind: 'ecdsa', hash: 'sha256' }, signature } as const },
      })),
  )
}

/** Active hosts and boots that the plan approves and nobody signed an approval for, with the plan's number. */
export function approvalsMissing({ plan, approvals }: Pick<SignedPlan, 'plan' | 'approvals'>): Wanted[] {
  const there = new Set(approvals.map(({ host, boot, number }) => `${host} ${boot} ${number}`))
  return wantedApprovals(plan).filter(({ host, boot, number }) => !there.has(`${host} ${boot} ${number}`))
}

export interface Wanted {
  readonly host: HostId
  readonly boot: string
  readonly number: bigint
  readonly registers: ShareApproval['boot']
}

function wantedApprovals(plan: Plan): Wanted[] {
  return plan.roster.hosts
    .filter(({ state }) => state === 'active')
    .flatMap(({ id, approvals }) =>
      approvals === undefined
        ? []
        : approvedBoots(plan, id).map(({ name, registers }) => ({
            host: id,
            boot: name,
            number: BigInt(approvals),
            registers,
          })),
    )
}

/**
 * Signs what the plan approves: one approval for each host and boot, with the number that the plan has for the host.
 *
 * @throws {@link RecoveryError} `KEY` when the key is not the approver's.
 */
export function signApprovals(signed: SignedPlan, signer: Signer): SignedPlan {
  const { plan } = signed
  if (plan.approver !== signer.point)
    throw new RecoveryError('KEY', {
      message: `The key ${signer.point.slice(0, 10)}… is not that of the plan's approver.`,
      hint: plan.approver === undefined ? 'the plan names no approver: add its key' : `approver: ${plan.approver}`,
    })
  const made = wantedApprovals(plan).map((wanted): PlanApproval => {
    const { host, boot, number } = wanted
    return { host, boot, number, signature: signer.sign(messageOf(wanted)) }
  })
  return { ...signed, approvals: made }
}

function messageOf({ host, number, registers }: Omit<Wanted, 'boot'>): Uint8Array {
  return approvalMessage(shareApproval({ host, number }, registers))
}

/** Approvals of the plan before that say the same in this one: the approver need not sign them again. */
export function keepApprovals(signed: SignedPlan, previous: Pick<SignedPlan, 'plan' | 'approvals'>): SignedPlan {
  if (signed.plan.approver === undefined || signed.plan.approver !== previous.plan.approver) return signed
  const before = new Map(previous.approvals.map((each) => [`${each.host} ${each.boot} ${each.number}`, each]))
  const verify = verifierOf(signed.plan.approver)
  const kept = wantedApprovals(signed.plan).flatMap((wanted) => {
    const found = before.get(`${wanted.host} ${wanted.boot} ${wanted.number}`)
    return found !== undefined && verify(messageOf(wanted), found.signature) ? [found] : []
  })
  return { ...signed, approvals: kept }
}

/** What two hosts compare: which approvals of a plan they have, of those that hold. */
export function approvalsDigest(held: readonly PlanApproval[]): Uint8Array {
  const lines = held.map(({ host, boot, number }) => `${host} ${boot} ${number}`)
  return sha256(
    tagged('reprise/recovery-approvals/v1')
      .sized(utf8(lines.toSorted().join('\n')))
      .done(),
  )
}

/** Of the same plan with other approvals: all that hold in either. */
export function joinApprovals(held: SignedPlan, other: Pick<SignedPlan, 'plan' | 'approvals'>): SignedPlan {
  // Those that are known to hold come last, and stay.
  return keepApprovals(held, { plan: other.plan, approvals: [...other.approvals, ...held.approvals] })
}

/** The approver's point, for sealing shares. @throws {@link RecoveryError} `SIGNED_PLAN` when the plan has none. */
export function approverOf({ approver }: Plan): Uint8Array {
  if (approver !== undefined) return fromHex(approver)
  throw new RecoveryError('SIGNED_PLAN', {
    message: 'The plan names no approver, under whose key shares are sealed.',
    hint: 'make one with reprise recovery keys new approver, and add its key to the plan',
  })
}
