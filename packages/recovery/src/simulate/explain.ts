/** Why a host of a simulation stands where it stands: what it sees, what it holds, what would release it. */
import { RecoveryError } from '../error.ts'
import { statusOf } from '../protocol/facts.ts'
import { describeRefusal, type RefusalText, type Refusal } from '../protocol/gate.ts'
import { judgeLease } from '../protocol/lease.ts'
import { leasesOf } from '../protocol/witness.ts'
import type { Verdict } from '../protocol/verdict.ts'
import type { AskingPhase } from '../protocol/asking.ts'
import type { FaultDomain, HostId } from '../types.ts'
import type { Fleet } from './fleet.ts'
import { prepareWorld, type Scenario } from './scenario.ts'
import { runWorld, type SimulatedHost } from './world.ts'

export interface ExplainedPeer {
  readonly host: HostId
  readonly domain: FaultDomain
  readonly isWitness: boolean
  /** As the host saw it last; undefined before it looked. */
  readonly status: string | undefined
  readonly share: 'held' | 'asked' | 'refused' | 'none'
  readonly refusals: readonly (Refusal & RefusalText)[]
}

export interface Explanation {
  readonly host: HostId
  readonly domain: FaultDomain
  readonly isStolen: boolean
  readonly phase: AskingPhase['kind'] | 'healthy' | 'off' | 'booting'
  readonly releasedAtMs: number | undefined
  readonly verdict: Verdict | undefined
  readonly sharesHeld: number
  readonly sharesNeeded: number
  readonly peers: readonly ExplainedPeer[]
  readonly changes: readonly string[]
}

/**
 * @param atMs - When, since the outage began or the theft.
 * @throws RecoveryError `USAGE` for a host that the fleet does not have.
 */
export function explain(fleet: Fleet, scenario: Scenario, seed: number, host: HostId, atMs: number): Explanation {
  const number = fleet.numbers.get(host)
  if (number === undefined)
    throw new RecoveryError('USAGE', {
      message: `the fleet has no active host ${host}`,
      hint: `its hosts are called like ${fleet.views[0]?.id}`,
    })
  const { world } = prepareWorld(fleet, scenario, seed)
  runWorld(world, atMs, Infinity)
  const view = fleet.views[number]
  const found = world.hosts.get(number)
  const asking = found?.asking
  const exchanges = asking?.exchanges ?? []
  const observations = asking?.observations ?? []
  const lease = judgeLease(undefined, leasesOf(observations), fleet.plan.policy.deadClocks)
  const peers = view.peers.map((peer, i): ExplainedPeer => {
    const exchange = exchanges[i]
    const refusals = exchange?.kind === 'refused' ? exchange.refusals : []
    return {
      host: peer,
      domain: fleet.views[fleet.numbers.get(peer) ?? -1].domain,
      isWitness: i < view.witnesses,
      status: observations[i] && statusOf(observations[i], lease?.ageMs),
      share:
        exchange === undefined || exchange.kind === 'idle'
          ? 'none'
          : exchange.kind === 'given'
            ? 'held'
            : exchange.kind,
      refusals: refusals.map((refusal) => ({ ...refusal, ...describeRefusal(refusal) })),
    }
  })
  const sharesHeld = peers.filter(({ share }) => share === 'held').length
  const explained = {
    host,
    domain: view.domain,
    isStolen: world.stolen.has(number),
    phase: phaseOf(found),
    releasedAtMs: found?.releasedAtMs,
    verdict: asking?.verdict,
    sharesHeld,
    sharesNeeded: fleet.plan.policy.threshold,
    peers,
  }
  return { ...explained, changes: changesFor(explained, asking?.phase) }
}

function phaseOf(host: SimulatedHost | undefined): Explanation['phase'] {
  if (host === undefined || (host.power === 0 && host.isRunning)) return 'healthy'
  if (!host.isPowered) return 'off'
  return host.asking?.phase.kind ?? 'booting'
}

/** What would release it, from the nearest to the last. */
function changesFor(
  { phase, peers, sharesHeld, sharesNeeded, verdict }: Omit<Explanation, 'changes'>,
  state: AskingPhase | undefined,
): readonly string[] {
  if (phase === 'healthy' || phase === 'released') return []
  if (phase === 'off') return ['power']
  if (phase === 'booting' || phase === 'starting')
    return ['that its agent has looked around, within a second of its start']
  const changes: string[] = []
  if (phase === 'holding')
    changes.push('the network: it looks cut off from its fleet, holds, serves others, and tries again by itself')
  if (state?.kind === 'locked')
    changes.push(
      state.isFinal
        ? 'the operators: all its witnesses have answered, and it still looks stolen'
        : `other answers: it looks stolen (odds ${(100 * (verdict?.odds.theft ?? 0)).toFixed(1)} %), and is judged again as witnesses return`,
    )
  if (state?.kind === 'refused') changes.push(...state.refusals.map((refusal) => describeRefusal(refusal).change))
  const attested = peers.filter(({ isWitness, status }) => isWitness && isAttested(status)).length
  if (attested < sharesNeeded)
    changes.push(
      `${sharesNeeded - attested} more of its witnesses: ${attested} answer and attest, ${sharesNeeded} are needed`,
    )
  else if (phase === 'asking')
    changes.push(`${sharesNeeded - sharesHeld} more shares; ${attested} of its witnesses answer and attest`)
  for (const { refusals } of peers)
    for (const { change } of refusals) if (!changes.includes(change)) changes.push(change)
  return changes
}

function isAttested(status: string | undefined): boolean {
  return status === 'up' || status === 'abnormal' || status === 'clean'
}
