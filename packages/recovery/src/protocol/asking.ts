/** The machine of a host that asks for its own secret. No I/O, nothing durable. Source: spec/recovery.md §5 to §7. */
import type { HostId, PriorShutdown, RecoveryPolicy, ReleaseRequest, Share } from '../types.ts'
import { type HostView, type Observation, statusOf } from './facts.ts'
import type { Refusal } from './gate.ts'
import { judgeLease } from './lease.ts'
import { judge, releases, type Verdict } from './verdict.ts'
import { leasesOf } from './witness.ts'

/** More shares asked for than are needed: a refusal or a lost message then costs nothing. */
const SPARE_SHARES = 3
export const RETRY_MS = 5000
export const RETRY_MS_MAX = 60_000

export type AskingPhase =
  /** Nothing observed yet. */
  | { readonly kind: 'starting' }
  | { readonly kind: 'asking' }
  | { readonly kind: 'holding' }
  /** `isFinal`: all witnesses have answered, and only operators help. */
  | { readonly kind: 'locked'; readonly isFinal: boolean }
  /** Its own TPM would not unseal. */
  | { readonly kind: 'refused'; readonly refusals: readonly Refusal[] }
  | { readonly kind: 'released'; readonly by: 'quorum' | 'operators' }

/** What is between the host and one of its witnesses. */
export type Exchange =
  | { readonly kind: 'idle' }
  | { readonly kind: 'asked' }
  | { readonly kind: 'refused'; readonly refusals: readonly Refusal[] }
  | { readonly kind: 'given'; readonly share: Share }

export interface AskingState {
  readonly phase: AskingPhase
  readonly attempt: string
  readonly prior: PriorShutdown
  /** Epochs of which it has the wrapped key, newest first; the first of them is asked for. */
  readonly epochs: readonly number[]
  /** In the order of the view's peers; empty before the first. */
  readonly observations: readonly Observation[]
  /** In the order of the witnesses. */
  readonly exchanges: readonly Exchange[]
  readonly verdict: Verdict | undefined
  readonly retryMs: number
}

export type AskingEvent =
  | {
      readonly kind: 'booted'
      readonly attempt: string
      readonly prior: PriorShutdown
      readonly epochs: readonly number[]
    }
  | { readonly kind: 'observed'; readonly observations: readonly Observation[] }
  | { readonly kind: 'share'; readonly from: HostId; readonly attempt: string; readonly share: Share }
  | { readonly kind: 'refused'; readonly from: HostId; readonly attempt: string; readonly refusals: readonly Refusal[] }
  | { readonly kind: 'timer' }
  /** Their signatures were checked. */
  | { readonly kind: 'operators' }

export type AskingAction =
  /** Ask each peer once, and say after at most a second what came. */
  | { readonly kind: 'observe'; readonly about: HostId; readonly peers: readonly HostId[] }
  | { readonly kind: 'ask-share'; readonly to: HostId; readonly request: ReleaseRequest }
  | { readonly kind: 'set-timer'; readonly afterMs: number }
  | { readonly kind: 'release'; readonly verdict: Verdict; readonly shares: readonly Share[] }
  | { readonly kind: 'alarm'; readonly theft: number }

export interface AskingContext {
  readonly view: HostView
  readonly policy: RecoveryPolicy
  readonly rosterVersion: number
  /** Whether the share's digest is the one that the plan has; decides nothing else. */
  readonly isValid: (share: Share) => boolean
}

export interface AskingStep {
  readonly state: AskingState
  readonly actions: readonly AskingAction[]
}

export function newAsking(prior: PriorShutdown): AskingState {
  const nothing = { observations: [], exchanges: [], epochs: [], verdict: undefined }
  return { phase: { kind: 'starting' }, attempt: '', prior, retryMs: RETRY_MS, ...nothing }
}

export function stepAsking(state: AskingState, event: AskingEvent, context: AskingContext): AskingStep {
  const { phase } = state
  if (event.kind === 'booted') return booted(event, context)
  if (phase.kind === 'released') return { state, actions: [] }
  if (event.kind === 'operators')
    return { state: { ...state, phase: { kind: 'released', by: 'operators' } }, actions: [] }
  if (phase.kind === 'refused' || (phase.kind === 'locked' && phase.isFinal)) return { state, actions: [] }
  switch (event.kind) {
    case 'observed':
      return observed(state, event.observations, context)
    case 'share':
      if (event.attempt !== state.attempt) return { state, actions: [] }
      return given(state, event, context)
    case 'refused':
      if (event.attempt !== state.attempt) return { state, actions: [] }
      return refused(state, event, context)
    case 'timer': {
      // Who was asked and is silent may be asked again; a share that was given stays.
      const exchanges = state.exchanges.map((each): Exchange => (each.kind === 'given' ? each : { kind: 'idle' }))
      return { state: { ...state, exchanges }, actions: [observe(context)] }
    }
  }
}

function observe({ view }: AskingContext): AskingAction {
  return { kind: 'observe', about: view.id, peers: view.peers }
}

function booted(
  { attempt, prior, epochs }: AskingEvent & { readonly kind: 'booted' },
  context: AskingContext,
): AskingStep {
  const exchanges = Array.from({ length: context.view.witnesses }, (): Exchange => ({ kind: 'idle' }))
  const state: AskingState = { ...newAsking(prior), attempt, epochs, exchanges }
  const { resetBudget: budget } = context.policy
  const resetIncrease = prior.resetIncrease.value
  // Its own TPM has the same bound in the policy of its half.
  if (resetIncrease !== undefined && resetIncrease > budget)
    return {
      state: { ...state, phase: { kind: 'refused', refusals: [{ rule: 'RESETS', resetIncrease, budget }] } },
      actions: [],
    }
  return { state, actions: [observe(context)] }
}

function observed(state: AskingState, observations: readonly Observation[], context: AskingContext): AskingStep {
  const { view, policy } = context
  const lease = judgeLease(undefined, leasesOf(observations), policy.deadClocks)
  const peers = observations.map((observation, i) => ({
    nearness: view.nearness[i],
    status: statusOf(observation, lease?.ageMs),
  }))
  const verdict = judge(
    { prior: state.prior, leaseAgeMs: lease?.ageMs, measurementApproved: undefined, roundTripHolds: undefined, peers },
    policy.theftOdds,
  )
  const retryMs = Math.min(2 * state.retryMs, RETRY_MS_MAX)
  const timer: AskingAction = { kind: 'set-timer', afterMs: state.retryMs }
  const next: AskingState = { ...state, observations, verdict, retryMs }
  if (verdict.action === 'lock') return locked(next, verdict, timer, context)
  if (verdict.action === 'hold') return { state: { ...next, phase: { kind: 'holding' } }, actions: [timer] }
  const { state: after, actions } = advance({ ...next, phase: { kind: 'asking' } }, context)
  return { state: after, actions: after.phase.kind === 'released' ? actions : [...actions, timer] }
}

function locked(state: AskingState, verdict: Verdict, timer: AskingAction, { view }: AskingContext): AskingStep {
  const isFinal = state.observations.slice(0, view.witnesses).every(({ kind }) => kind === 'attested')
  // One alarm when it locks, one when that is final.
  const isNews = state.phase.kind !== 'locked' || isFinal
  const alarm: AskingAction = { kind: 'alarm', theft: verdict.odds.theft }
  return {
    state: { ...state, phase: { kind: 'locked', isFinal } },
    actions: [...(isNews ? [alarm] : []), ...(isFinal ? [] : [timer])],
  }
}

function given(
  state: AskingState,
  { from, share }: AskingEvent & { readonly kind: 'share' },
  context: AskingContext,
): AskingStep {
  const { view, isValid } = context
  const index = view.peers.indexOf(from)
  const isRight =
    index >= 0 &&
    index < view.witnesses &&
    share.index === index &&
    share.host === view.id &&
    share.epoch === state.epochs[0] &&
    view.nearness[index] > 0 &&
    state.observations[index]?.kind === 'attested' &&
    isValid(share)
  // A wrong share costs its witness this attempt's turn; another one is asked.
  const exchange: Exchange = isRight ? { kind: 'given', share } : { kind: 'refused', refusals: [] }
  if (index < 0 || index >= view.witnesses) return { state, actions: [] }
  if (state.exchanges[index].kind === 'given') return { state, actions: [] }
  return advance({ ...state, exchanges: state.exchanges.with(index, exchange) }, context)
}

function refused(
  state: AskingState,
  { from, refusals }: AskingEvent & { readonly kind: 'refused' },
  context: AskingContext,
): AskingStep {
  const index = context.view.peers.indexOf(from)
  if (index < 0 || index >= context.view.witnesses || state.exchanges[index].kind !== 'asked')
    return { state, actions: [] }
  const exchanges = state.exchanges.with(index, { kind: 'refused', refusals })
  return advance(withUsableEpoch({ ...state, exchanges }, context), context)
}

/** When too few witnesses can have the newest epoch, the one before is asked for: the crash came while it was decided. */
function withUsableEpoch(state: AskingState, { view, policy }: AskingContext): AskingState {
  if (state.epochs.length < 2) return state
  const missing = state.exchanges.filter(
    (each) => each.kind === 'refused' && each.refusals.some((refusal) => refusal.rule === 'EPOCH'),
  )
  if (view.witnesses - missing.length >= policy.threshold) return state
  return { ...state, epochs: state.epochs.slice(1), exchanges: state.exchanges.map((): Exchange => ({ kind: 'idle' })) }
}

/** Releases when K shares are there, else asks as many witnesses as are wanted. */
function advance(state: AskingState, context: AskingContext): AskingStep {
  const { policy, view } = context
  const { verdict, exchanges } = state
  if (state.phase.kind !== 'asking' || verdict === undefined || !releases(verdict)) return { state, actions: [] }
  const shares = exchanges.flatMap((each) => (each.kind === 'given' ? [each.share] : []))
  if (shares.length >= policy.threshold)
    return {
      state: { ...state, phase: { kind: 'released', by: 'quorum' } },
      actions: [{ kind: 'release', verdict, shares: shares.slice(0, policy.threshold) }],
    }
  let wanted = policy.threshold + SPARE_SHARES - shares.length - exchanges.filter(({ kind }) => kind === 'asked').length
  const actions: AskingAction[] = []
  const next = exchanges.map((exchange, index): Exchange => {
    if (wanted <= 0 || exchange.kind !== 'idle' || state.observations[index]?.kind !== 'attested') return exchange
    wanted -= 1
    actions.push({ kind: 'ask-share', to: view.peers[index], request: requestFor(state, index, context) })
    return { kind: 'asked' }
  })
  return { state: { ...state, exchanges: next }, actions }
}

function requestFor(state: AskingState, index: number, { view, rosterVersion }: AskingContext): ReleaseRequest {
  const { attempt, prior, epochs } = state
  return { host: view.id, epoch: epochs[0], index, rosterVersion, attempt, prior }
}
