/** The lease: which boots may open the TPM half, for how many resets. Rules: spec/release.md §3.2, §3.3. */

import { ByteWriter, concat, equal, TPM_ALG, TPM_CC, TPM_EO, TPMA_NV } from '@reprise/core'
import {
  alternatives,
  hasCommand,
  NvWrite,
  type NvIndex,
  openNvIndex,
  type Policy,
  PolicyCounterTimer,
  policyOf,
  policySignedMessage,
  ReadClock,
  readNv,
  meetPolicy,
  type Tpm,
} from '@reprise/tpm'
import { RecoveryError } from '../error.ts'
import { BOOTS_PER_HOST_MAX } from '../plan/boots.ts'
import type { HostId } from '../types.ts'
import { type BootState, pcrClause, type Register } from './boot-state.ts'
import type { PolicySigner } from './keys.ts'
import { inTurn, openStorageKey, type PinnedTpm, type RuledClause, startSession } from './storage.ts'
import { leaseRef } from './words.ts'

/** What one lease says. */
export interface LeaseTerms {
  /** Two generations at a firmware update; at most {@link BOOTS_PER_HOST_MAX}. */
  readonly boots: readonly BootState[]
  readonly cap: Register
  /** R + B. */
  readonly resetCountMax: number
  /** Of the TPM's clock, in milliseconds; a bound on the time powered, for plans that want one. */
  readonly clockMaxMs?: bigint
}

/**
 * Before a host makes any keys: PolicyAuthorizeNV is optional, and came with revision 1.38 of the specification.
 *
 * @throws {@link RecoveryError} `TPM` naming the command.
 */
export async function requireLeases(tpm: Tpm, host: HostId): Promise<void> {
  if (await hasCommand(tpm, 'PolicyAuthorizeNV')) return
  throw new RecoveryError('TPM', {
    message: `The TPM of ${host} has no command TPM2_PolicyAuthorizeNV (0x${TPM_CC.PolicyAuthorizeNV.toString(16).padStart(8, '0')}): a lease that heartbeats renew cannot be sealed to.`,
    hint: 'Look whether its maker has newer firmware (TPM 2.0 revision 1.38 or later); else this host needs another TPM, or stays outside the plan.',
  })
}

/** TPMS_TIME_INFO, Part 2 §10.11.1: clock, resetCount and restartCount. */
const CLOCK_OFFSET = 8
const RESET_COUNT_OFFSET = 16
const RESTART_COUNT_OFFSET = 20

function bootClauses(terms: LeaseTerms, boot: BootState): readonly RuledClause[] {
  const clauses: RuledClause[] = [
    { rule: 'boot', clause: pcrClause(boot, terms.cap) },
    {
      rule: 'resets',
      clause: {
        kind: 'counterTimer',
        operandB: new ByteWriter().u32(terms.resetCountMax).done(),
        offset: RESET_COUNT_OFFSET,
        operation: TPM_EO.UNSIGNED_LE,
      },
    },
    {
      rule: 'restarts',
      clause: {
        kind: 'counterTimer',
        operandB: new ByteWriter().u32(0).done(),
        offset: RESTART_COUNT_OFFSET,
        operation: TPM_EO.EQ,
      },
    },
  ]
  if (terms.clockMaxMs === undefined) return clauses
  const clock = {
    kind: 'counterTimer',
    operandB: new ByteWriter().u64(terms.clockMaxMs).done(),
    offset: CLOCK_OFFSET,
    operation: TPM_EO.UNSIGNED_LE,
  } as const
  return [...clauses, { rule: 'powered', clause: clock }]
}

/**
 * The clauses by which one of the approved boots meets a lease.
 *
 * @throws {@link RecoveryError} `USAGE` for no boot, more than {@link BOOTS_PER_HOST_MAX}, or a boot that is not among them.
 */
export function leaseClauses(terms: LeaseTerms, boot: number): readonly RuledClause[] {
  const { boots } = terms
  if (boots.length === 0 || boots.length > BOOTS_PER_HOST_MAX || boots[boot] === undefined) {
    throw new RecoveryError('USAGE', {
      message: `A lease has 1 to ${BOOTS_PER_HOST_MAX} approved boots; this one has ${boots.length}, and number ${boot} is asked for.`,
    })
  }
  const each = boots.map((one) => policyOf(bootClauses(terms, one).map(({ clause }) => clause)))
  const path = alternatives(each).path(boot)
  return [...bootClauses(terms, boots[boot]), ...path.map((clause) => ({ rule: 'boot', clause }) as const)]
}

/** The policy of a lease: the same whichever boot meets it. */
export function leasePolicy(terms: LeaseTerms): Policy {
  return policyOf(leaseClauses(terms, 0).map(({ clause }) => clause))
}

/** authPolicy of a lease index: only the key that comes out of the halves writes it. */
export function leaseWritePolicy(host: HostId, key: Pick<PolicySigner, 'area'>): Policy {
  return policyOf([{ kind: 'signed', signer: key.area, policyRef: leaseRef(host) }])
}

/** What a lease index holds. */
export function leaseContents(policy: Policy): Uint8Array {
  return concat(new ByteWriter().u16(TPM_ALG.SHA256).done(), policy.digest)
}

export type Renewal = 'written' | 'unchanged'

/**
 * Writes a lease into its index; called by every healthy heartbeat. A lease that says the same is not written again, for
 * non-volatile memory wears.
 *
 * @throws {@link RecoveryError} `PIN`; TpmError `RESPONSE` when the key is not that of the index.
 */
export async function writeLease(
  pinned: PinnedTpm,
  lease: { readonly host: HostId; readonly index: NvIndex; readonly key: PolicySigner; readonly policy: Policy },
): Promise<Renewal> {
  const { tpm } = pinned
  const { host, key, policy } = lease
  // Its Name changes with the first write, and whoever defined it anew would have changed it too.
  const nvIndex = await openNvIndex(tpm, lease.index.handle)
  const data = leaseContents(policy)
  if (isWritten(nvIndex) && equal(await readNv(tpm, { authHandle: nvIndex, nvIndex }), data)) return 'unchanged'
  await inTurn(pinned, async () => {
    await using storageKey = await openStorageKey(pinned)
    await using session = await startSession(tpm, storageKey, 'policy')
    const policyRef = leaseRef(host)
    const signature = key.sign(policySignedMessage({ nonceTPM: session.nonceTpm, policyRef }))
    await meetPolicy(tpm, session, [{ kind: 'signed', signer: key.area, policyRef, signature }])
    await tpm.execute(NvWrite({ authHandle: nvIndex, nvIndex, data }), { sessions: [session] })
  })
  await pinned.persist()
  return 'written'
}

/** Which of these leases the index holds. */
export async function heldLease(
  { tpm }: PinnedTpm,
  { handle }: NvIndex,
  leases: readonly LeaseTerms[],
): Promise<LeaseTerms | undefined> {
  const nvIndex = await openNvIndex(tpm, handle)
  if (!isWritten(nvIndex)) return undefined
  const held = await readNv(tpm, { authHandle: nvIndex, nvIndex })
  return leases.find((terms) => equal(leaseContents(leasePolicy(terms)), held))
}

function isWritten({ nvPublic }: NvIndex): boolean {
  return (nvPublic.attributes & TPMA_NV.WRITTEN) !== 0
}

/**
 * resetCount, which the TPM confirms in a session that nobody in between can answer for: whoever could make it look larger
 * would be given that many more resets.
 *
 * @throws {@link RecoveryError} `PIN`.
 */
export function confirmedResetCount(pinned: PinnedTpm): Promise<number> {
  return inTurn(pinned, () => confirmResetCount(pinned))
}

async function confirmResetCount(pinned: PinnedTpm): Promise<number> {
  const { tpm } = pinned
  const { resetCount } = (await tpm.execute(ReadClock())).currentTime.clockInfo
  await using tpmKey = await openStorageKey(pinned)
  await using witness = await startSession(tpm, tpmKey, 'hmac')
  await using policySession = await startSession(tpm, tpmKey, 'policy')
  const operandB = new ByteWriter().u32(resetCount).done()
  const compare = PolicyCounterTimer({ policySession, operandB, offset: RESET_COUNT_OFFSET, operation: TPM_EO.EQ })
  await tpm.execute(compare, { sessions: [witness] })
  return resetCount
}
