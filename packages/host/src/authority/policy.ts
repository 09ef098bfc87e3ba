/** Who gets a certificate: by what the keys of a host are, never by what it says of itself (spec/enrolment.md §5). */

import { hex } from '@reprise/core'
import { type Tier, TIERS } from '@reprise/core/certificates'
import type { HostError } from '../error.ts'
import { sha256 } from '../hashing.ts'
import type { Policy } from './events.ts'
import { type Refusal, refusal } from './refusal.ts'
import { type AuthorityState, type IssuedCertificate, isValid, type RequestState } from './state.ts'

export type Verdict =
  | { readonly kind: 'approve'; readonly by: string }
  | { readonly kind: 'wait'; readonly reason: string }
  | { readonly kind: 'refuse'; readonly code: Refusal; readonly why: string; readonly hint?: string }

type Asked = Pick<RequestState, 'akName' | 'ekName' | 'ekCertificate' | 'tier' | 'tierReason'>

interface Situation {
  readonly state: AuthorityState
  readonly policy: Policy
  readonly now: Date
}

/** @param name - What it is to be called. */
export function judge(asked: Asked, name: string, situation: Situation): Verdict {
  const refused = whyRefused(asked, name, situation)
  if (refused !== undefined) return refused
  const { state, policy, now } = situation
  if (policy.sameEk !== 'keep' && others(asked, situation).length > 0)
    return { kind: 'wait', reason: 'its endorsement key has a certificate for another attestation key' }
  if (state.of('ak', hex(asked.akName)).some((held) => isValid(held, now) && isRenewal(held, asked, name)))
    return { kind: 'approve', by: 'renewal' }
  const { approve } = policy
  if (approve === 'known') {
    if (allowedName(asked, state) !== undefined) return { kind: 'approve', by: 'known endorsement key' }
    return { kind: 'wait', reason: 'its endorsement key is not on the list' }
  }
  if (approve !== 'manual' && rank(asked.tier) >= rank(approve)) return { kind: 'approve', by: `tier ${asked.tier}` }
  return { kind: 'wait', reason: 'an operator has to approve it' }
}

/** What no operator can allow either, except by another policy. */
function whyRefused(
  asked: Asked,
  name: string,
  { state, policy, now }: Situation,
): (Verdict & { readonly kind: 'refuse' }) | undefined {
  const refuse = (code: Refusal, why: string, hint?: string) =>
    ({ kind: 'refuse', code, why, ...(hint !== undefined && { hint }) }) as const
  const held = state.of('ak', hex(asked.akName))
  if (held.some(({ revoked }) => revoked !== null))
    return refuse('AK_REVOKED', 'A certificate of this attestation key was revoked.', NEW_IDENTITY)
  if (held.some((one) => isValid(one, now) && one.ekName !== hex(asked.ekName)))
    return refuse('EK_CHANGED', 'This attestation key has a certificate with another endorsement key.', NEW_IDENTITY)
  if (rank(asked.tier) < rank(policy.minTier))
    return refuse('TIER', `The TPM counts as ${asked.tier} (${asked.tierReason}); ${policy.minTier} is asked for.`)
  const wanted = allowedName(asked, state)
  if (typeof wanted === 'string' && wanted !== name)
    return refuse(
      'NAME',
      `The host with this endorsement key is to be called ${wanted}.`,
      `Enrol with: --name ${wanted}`,
    )
  if (!fits(name, policy.names)) return refuse('NAME', `Hosts are called ${policy.names} here, not ${name}.`)
  if (state.of('name', name).some((one) => isValid(one, now) && one.ekName !== hex(asked.ekName)))
    return refuse('NAME_TAKEN', `Another host is called ${name}.`, 'Give another name: --name NAME')
  if (policy.sameEk === 'refuse' && others(asked, { state, now }).length > 0)
    return refuse('EK_TAKEN', 'This endorsement key has a certificate for another attestation key.')
  return undefined
}

const NEW_IDENTITY = 'Give the host a new identity, then enrol again: reprise host init --new'

/** Valid certificates of the same endorsement key for other attestation keys. */
export function others(
  asked: Pick<Asked, 'akName' | 'ekName'>,
  { state, now }: Omit<Situation, 'policy'>,
): IssuedCertificate[] {
  const akName = hex(asked.akName)
  return state.of('ek', hex(asked.ekName)).filter((one) => one.akName !== akName && isValid(one, now))
}

function isRenewal(held: IssuedCertificate, asked: Asked, name: string): boolean {
  return held.name === name && rank(asked.tier) >= rank(held.tier as Tier)
}

/** The name that goes with a listed endorsement key, null for any; undefined for a key that is not listed. */
function allowedName({ ekName, ekCertificate }: Asked, { allowed }: AuthorityState): string | null | undefined {
  const byName = allowed.get(hex(ekName))
  if (byName !== undefined || ekCertificate === null) return byName
  return allowed.get(hex(sha256(ekCertificate)))
}

function rank(tier: Tier): number {
  return TIERS.indexOf(tier)
}

function fits(name: string, pattern: string): boolean {
  const parts = pattern.split('*').map((part) => part.replaceAll(/[^A-Za-z0-9_-]/g, (char) => `\\${char}`))
  return new RegExp(`^${parts.join('.*')}$`).test(name)
}

export function refuse({ code, why, hint }: Verdict & { readonly kind: 'refuse' }): HostError {
  return refusal(code, why, hint)
}
