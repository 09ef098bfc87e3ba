/** The machine of a witness: who asks, what is known of him, share or refusal. No I/O. Source: spec/recovery.md §5, §7. */
import type { FaultDomain, HostId, RecoveryPolicy, ReleaseRequest } from '../types.ts'
import { commit, type HeldShares, holds, NO_SHARES, prepare } from './epochs.ts'
import { type HostView, type Observation, type PeerReport, statusOf } from './facts.ts'
import { type LocalFacts, localRefusals, type Refusal, seenRefusals } from './gate.ts'
import { judgeLease, type LeaseAge } from './lease.ts'
import { judge } from './verdict.ts'

/** What a witness signed last for a host. */
export interface Heartbeat {
  /** By the witness's own TPM clock, in milliseconds. */
  readonly clockMs: number
  readonly wallMs: number
}

export interface WitnessState {
  /** Written before the actions of the step that changed it. */
  readonly durable: {
    readonly rosterVersion: number
    readonly heartbeats: ReadonlyMap<HostId, Heartbeat>
    readonly shares: ReadonlyMap<HostId, HeldShares>
    readonly revoked: ReadonlySet<HostId>
  }
  /** Its TPM clock at its start: what it signed before was followed by a break. */
  readonly startedClockMs: number
  readonly lastShutdown: 'clean' | 'abnormal'
  /** One question of each host at a time. */
  readonly pending: ReadonlyMap<HostId, Asked>
}

/** Both clocks of the witness, in milliseconds. */
export interface Clocks {
  readonly clockMs: number
  readonly wallMs: number
}

/** What the channel says of who asks. */
export interface Asked {
  readonly request: ReleaseRequest
  readonly isAttested: boolean
  readonly isMeasurementApproved: boolean
  /** The fastest of the exchange. */
  readonly roundTripMs: number
  /** Measured while the host was healthy. */
  readonly baselineMs: number
}

export type WitnessEvent =
  | { readonly kind: 'started'; readonly at: Clocks; readonly lastShutdown: 'clean' | 'abnormal' }
  /** Of a healthy, released, attested host. */
  | { readonly kind: 'heartbeat'; readonly from: HostId; readonly at: Clocks }
  | { readonly kind: 'asked'; readonly asked: Asked; readonly at: Clocks }
  /** In the order of the peers that were to be observed. */
  | {
      readonly kind: 'observed'
      readonly about: HostId
      readonly observations: readonly Observation[]
      readonly at: Clocks
    }
  /** The operators' signature was checked. */
  | { readonly kind: 'revoked'; readonly host: HostId }
  | { readonly kind: 'roster'; readonly version: number }
  | { readonly kind: 'prepare'; readonly from: HostId; readonly epoch: number }
  | { readonly kind: 'commit'; readonly from: HostId; readonly epoch: number }

export type WitnessAction =
  /** Ask each of these once, and say after at most a second what came. */
  | { readonly kind: 'observe'; readonly about: HostId; readonly peers: readonly HostId[] }
  | { readonly kind: 'give-share'; readonly request: ReleaseRequest }
  | { readonly kind: 'refuse'; readonly request: ReleaseRequest; readonly refusals: readonly Refusal[] }
  | {
      readonly kind: 'acknowledge'
      readonly to: HostId
      readonly what: 'prepared' | 'committed'
      readonly epoch: number
    }

export interface WitnessContext {
  readonly id: HostId
  readonly domain: FaultDomain
  readonly policy: RecoveryPolicy
  /** Undefined for a name that no roster has. */
  readonly view: (host: HostId) => HostView | undefined
}

export interface WitnessStep {
  readonly state: WitnessState
  readonly actions: readonly WitnessAction[]
}

export function newWitness(rosterVersion: number): WitnessState {
  const durable = { rosterVersion, heartbeats: new Map(), shares: new Map(), revoked: new Set<HostId>() }
  return { durable, startedClockMs: 0, lastShutdown: 'clean', pending: new Map() }
}

export function stepWitness(state: WitnessState, event: WitnessEvent, context: WitnessContext): WitnessStep {
  const { durable } = state
  const only = (change: Partial<WitnessState['durable']>): WitnessStep => ({
    state: { ...state, durable: { ...durable, ...change } },
    actions: [],
  })
  switch (event.kind) {
    case 'started': {
      const { at, lastShutdown } = event
      return { state: { durable, startedClockMs: at.clockMs, lastShutdown, pending: new Map() }, actions: [] }
    }
    case 'heartbeat':
      if (durable.revoked.has(event.from)) return { state, actions: [] }
      return only({ heartbeats: new Map(durable.heartbeats).set(event.from, event.at) })
    case 'asked':
      return asked(state, event.asked, context)
    case 'observed':
      return observed(state, event, context)
    case 'revoked':
      return only({ revoked: new Set([...durable.revoked, event.host]) })
    case 'roster':
      return event.version > durable.rosterVersion ? only({ rosterVersion: event.version }) : { state, actions: [] }
    case 'prepare':
    case 'commit':
      return shared(state, event)
  }
}

/** What the witness says of itself when a peer asks about `host`. */
export function reportOf(state: WitnessState, host: HostId, at: Clocks): PeerReport {
  return {
    uptimeMs: at.clockMs - state.startedClockMs,
    lastShutdown: state.lastShutdown,
    lease: leaseAge(state, host, at),
  }
}

function leaseAge({ durable, startedClockMs }: WitnessState, host: HostId, at: Clocks): LeaseAge | undefined {
  const heartbeat = durable.heartbeats.get(host)
  if (heartbeat === undefined) return undefined
  return {
    boundMs: at.clockMs - heartbeat.clockMs,
    isContinuous: heartbeat.clockMs >= startedClockMs,
    wallMs: at.wallMs - heartbeat.wallMs,
  }
}

function asked(state: WitnessState, asked: Asked, context: WitnessContext): WitnessStep {
  const { request } = asked
  const { host } = request
  const view = context.view(host)
  const refusals = localRefusals(localFacts(state, asked, context, view), context.policy)
  if (refusals.length > 0 || view === undefined)
    return { state: without(state, host), actions: [{ kind: 'refuse', request, refusals }] }
  // The observation that is on its way answers the newer request.
  const isObserving = state.pending.has(host)
  const pending = new Map(state.pending).set(host, asked)
  const peers = others(view, context.id)
  return { state: { ...state, pending }, actions: isObserving ? [] : [{ kind: 'observe', about: host, peers }] }
}

function others({ peers }: HostView, own: HostId): readonly HostId[] {
  return peers.filter((peer) => peer !== own)
}

function localFacts(
  { durable }: WitnessState,
  { request, ...channel }: Asked,
  { id, domain }: WitnessContext,
  view: HostView | undefined,
): LocalFacts {
  const { host, epoch, index, prior, rosterVersion } = request
  const held = holds(durable.shares.get(host) ?? NO_SHARES, epoch)
  const isOwnIndex = index < (view?.witnesses ?? 0) && view?.peers[index] === id
  return {
    ...channel,
    membership: membershipOf(durable.revoked.has(host), view),
    requestRoster: rosterVersion,
    ownRoster: durable.rosterVersion,
    epoch: held === 'held' && !isOwnIndex ? 'missing' : held,
    isSameRack: view?.domain.rack === domain.rack,
    resetIncrease: signed(prior.resetIncrease),
    restartIncrease: signed(prior.restartIncrease),
  }
}

function membershipOf(isRevoked: boolean, view: HostView | undefined): LocalFacts['membership'] {
  if (isRevoked) return 'revoked'
  if (view === undefined) return 'unknown'
  return view.isActive ? 'active' : 'expunged'
}

/** Only what the TPM signed counts in the gate. */
function signed({ value, signed }: ReleaseRequest['prior']['resetIncrease']): number | undefined {
  return signed ? value : undefined
}

function observed(
  state: WitnessState,
  { about, observations, at }: WitnessEvent & { readonly kind: 'observed' },
  context: WitnessContext,
): WitnessStep {
  const pending = state.pending.get(about)
  const view = context.view(about)
  // Nobody waits any more: the witness restarted, or the host was refused since.
  if (pending === undefined || view === undefined) return { state, actions: [] }
  const next = without(state, about)
  const { request } = pending
  const { policy } = context
  // The roster, a revocation or the shares may have changed since the question.
  const local = localRefusals(localFacts(next, pending, context, view), policy)
  const own = leaseAge(state, about, at)
  const refusals = [...local, ...seen({ own, observations, pending, view, context })]
  return {
    state: next,
    actions: [refusals.length > 0 ? { kind: 'refuse', request, refusals } : { kind: 'give-share', request }],
  }
}

interface Seen {
  readonly own: LeaseAge | undefined
  readonly observations: readonly Observation[]
  readonly pending: Asked
  readonly view: HostView
  readonly context: WitnessContext
}

function seen({ own, observations, pending, view, context }: Seen): readonly Refusal[] {
  const { policy, id } = context
  const lease = judgeLease(own, leasesOf(observations), policy.deadClocks)
  const { prior } = pending.request
  const nearness = view.nearness.filter((_, i) => view.peers[i] !== id)
  const peers = observations.map((observation, i) => ({
    nearness: nearness[i],
    status: statusOf(observation, lease?.ageMs),
  }))
  const verdict = judge(
    { prior, leaseAgeMs: lease?.ageMs, measurementApproved: true, roundTripHolds: true, peers },
    policy.theftOdds,
  )
  return seenRefusals({ lease, verdict }, policy)
}

export function leasesOf(observations: readonly Observation[]): readonly LeaseAge[] {
  return observations.flatMap((each) =>
    each.kind === 'attested' && each.report.lease !== undefined ? [each.report.lease] : [],
  )
}

function shared(
  state: WitnessState,
  { kind, from, epoch }: WitnessEvent & { readonly kind: 'prepare' | 'commit' },
): WitnessStep {
  const before = state.durable.shares.get(from) ?? NO_SHARES
  const held = kind === 'prepare' ? prepare(before, epoch) : commit(before, epoch)
  const shares = held === before ? state.durable.shares : new Map(state.durable.shares).set(from, held)
  const isDone = kind === 'prepare' ? held.epochs.includes(epoch) : held.committed === epoch
  const what = kind === 'prepare' ? 'prepared' : 'committed'
  return {
    state: { ...state, durable: { ...state.durable, shares } },
    actions: isDone ? [{ kind: 'acknowledge', to: from, what, epoch }] : [],
  }
}

function without(state: WitnessState, host: HostId): WitnessState {
  if (!state.pending.has(host)) return state
  const pending = new Map(state.pending)
  pending.delete(host)
  return { ...state, pending }
}
