/** The rules of release, each with its fact and with what would change it: spec/recovery.md §5. */
import type { RecoveryPolicy } from '../types.ts'
import type { JudgedAge } from './lease.ts'
import { releases, type Verdict } from './verdict.ts'

/** What a witness knows before it asks anybody. */
export interface LocalFacts {
  readonly isAttested: boolean
  readonly isMeasurementApproved: boolean
  readonly membership: 'active' | 'expunged' | 'revoked' | 'unknown'
  readonly requestRoster: number
  readonly ownRoster: number
  readonly epoch: 'held' | 'missing' | 'superseded'
  readonly isSameRack: boolean
  readonly resetIncrease: number | undefined
  readonly restartIncrease: number | undefined
  readonly roundTripMs: number
  readonly baselineMs: number
}

/** What it knows afterwards. */
export interface SeenFacts {
  readonly lease: JudgedAge | undefined
  readonly verdict: Verdict
}

export type Refusal =
  | { readonly rule: 'ATTESTED' | 'MEASUREMENT' | 'WITNESS_DOMAIN' }
  | { readonly rule: 'ROSTER'; readonly membership: LocalFacts['membership'] }
  | { readonly rule: 'ROSTER_OLD'; readonly requestRoster: number; readonly ownRoster: number }
  | { readonly rule: 'EPOCH'; readonly epoch: 'missing' | 'superseded' }
  | { readonly rule: 'RESETS'; readonly resetIncrease: number | undefined; readonly budget: number }
  | { readonly rule: 'RESTARTS'; readonly restartIncrease: number | undefined }
  | { readonly rule: 'ROUND_TRIP'; readonly roundTripMs: number; readonly boundMs: number }
  | { readonly rule: 'LEASE'; readonly ageMs: number | undefined; readonly leaseMs: number }
  | { readonly rule: 'VERDICT'; readonly action: 'hold' | 'lock'; readonly theft: number }

/** All rules that do not hold; an empty list lets the witness go on to look around. */
export function localRefusals(facts: LocalFacts, policy: RecoveryPolicy): readonly Refusal[] {
  const refusals: Refusal[] = []
  if (!facts.isAttested) refusals.push({ rule: 'ATTESTED' })
  if (!facts.isMeasurementApproved) refusals.push({ rule: 'MEASUREMENT' })
  if (facts.membership !== 'active') refusals.push({ rule: 'ROSTER', membership: facts.membership })
  const { requestRoster, ownRoster, resetIncrease, restartIncrease } = facts
  if (requestRoster < ownRoster) refusals.push({ rule: 'ROSTER_OLD', requestRoster, ownRoster })
  if (facts.epoch !== 'held') refusals.push({ rule: 'EPOCH', epoch: facts.epoch })
  if (facts.isSameRack) refusals.push({ rule: 'WITNESS_DOMAIN' })
  if (resetIncrease === undefined || resetIncrease > policy.resetBudget)
    refusals.push({ rule: 'RESETS', resetIncrease, budget: policy.resetBudget })
  // Each reset sets restartCount back to zero, so only without one does an increase show the trick.
  if (restartIncrease === undefined || (resetIncrease === 0 && restartIncrease !== 0))
    refusals.push({ rule: 'RESTARTS', restartIncrease })
  const distance = roundTripRefusal(facts.roundTripMs, facts.baselineMs + policy.roundTripMarginMs)
  return distance === undefined ? refusals : [...refusals, distance]
}

/** Of a peer that is farther away than it may be. */
export function roundTripRefusal(roundTripMs: number, boundMs: number): Refusal | undefined {
  // Written so that a round trip that is no number is refused.
  return roundTripMs <= boundMs ? undefined : { rule: 'ROUND_TRIP', roundTripMs, boundMs }
}

export function seenRefusals({ lease, verdict }: SeenFacts, { leaseMs }: RecoveryPolicy): readonly Refusal[] {
  const refusals: Refusal[] = []
  if (lease === undefined || !(lease.ageMs <= leaseMs)) refusals.push({ rule: 'LEASE', ageMs: lease?.ageMs, leaseMs })
  if (!releases(verdict))
    refusals.push({ rule: 'VERDICT', action: verdict.action === 'hold' ? 'hold' : 'lock', theft: verdict.odds.theft })
  return refusals
}

export interface RefusalText {
  /** The fact, and the bound that it misses. */
  readonly fact: string
  readonly change: string
}

/** A refusal in words. */
export function describeRefusal(refusal: Refusal): RefusalText {
  switch (refusal.rule) {
    case 'ATTESTED':
      return {
        fact: 'its quote does not hold over this channel',
        change: 'reach the witness directly, with the key that the roster has',
      }
    case 'MEASUREMENT':
      return {
        fact: 'its boot measurement is none that is approved',
        change: 'boot an approved version, or have this one approved',
      }
    case 'WITNESS_DOMAIN':
      return { fact: 'the witness stands in its rack', change: 'plan anew: a host was moved without its plan' }
    case 'ROSTER':
      return {
        fact: `it is ${refusal.membership} in the roster`,
        change: 'have the operators add it to the roster again',
      }
    case 'ROSTER_OLD':
      return {
        fact: `it has roster ${refusal.requestRoster}, the witness has seen ${refusal.ownRoster}`,
        change: 'fetch the newer roster from a peer',
      }
    case 'EPOCH':
      return refusal.epoch === 'missing'
        ? { fact: 'the witness has no share of that epoch', change: 'ask other witnesses, or for the epoch before' }
        : {
            fact: 'a later epoch was committed',
            change: 'ask for the later epoch; an older image or blob cannot be used',
          }
    case 'RESETS':
      return {
        fact: `${refusal.resetIncrease ?? 'unknown'} resets since the last heartbeat, at most ${refusal.budget} are allowed`,
        change: 'have the operators release it',
      }
    case 'RESTARTS':
      return {
        fact: `${refusal.restartIncrease ?? 'unknown'} restarts without a reset`,
        change: 'switch it off and on: a restart after Shutdown(STATE) is not accepted',
      }
    case 'ROUND_TRIP':
      return {
        fact: `${refusal.roundTripMs.toFixed(1)} ms for a round trip, at most ${refusal.boundMs.toFixed(1)} ms are allowed`,
        change: 'bring it back to its place in the network, or measure the path anew',
      }
    case 'LEASE':
      return {
        fact: `its last heartbeat is ${refusal.ageMs === undefined ? 'of unknown age' : `${minutes(refusal.ageMs)} old`}, at most ${minutes(refusal.leaseMs)} are allowed`,
        change: 'have the operators extend the lease',
      }
    case 'VERDICT':
      return refusal.action === 'hold'
        ? { fact: 'it looks cut off from its fleet', change: 'it tries again by itself; mend the network' }
        : {
            fact: `it looks stolen, with odds of ${(100 * refusal.theft).toFixed(1)} %`,
            change: 'it is judged again as peers return; else have the operators look at it and release it',
          }
  }
}

function minutes(valueMs: number): string {
  return `${Math.round(valueMs / 60_000)} min`
}
