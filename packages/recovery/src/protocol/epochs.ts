/** A secret that is split anew, crash or not: spec/recovery.md §8. */
import type { HostId } from '../types.ts'

/** What a witness keeps of one host's shares; durable as a whole. */
export interface HeldShares {
  /** Epochs whose share it has: the committed one and the newest prepared one, at most. */
  readonly epochs: readonly number[]
  readonly committed: number
}

export const NO_SHARES: HeldShares = { epochs: [], committed: 0 }

/** Takes a prepared share. Only the newest prepared one stays: the others were given up by their host. */
export function prepare(held: HeldShares, epoch: number): HeldShares {
  const newest = Math.max(held.committed, ...held.epochs)
  if (epoch <= newest) return held
  return { ...held, epochs: [...held.epochs.filter((each) => each === held.committed), epoch] }
}

/** From now on earlier epochs are refused. A witness that has no share of the epoch commits nothing. */
export function commit(held: HeldShares, epoch: number): HeldShares {
  if (epoch <= held.committed || !held.epochs.includes(epoch)) return held
  return { epochs: held.epochs.filter((each) => each >= epoch), committed: epoch }
}

export function holds({ epochs, committed }: HeldShares, epoch: number): 'held' | 'missing' | 'superseded' {
  if (epoch < committed) return 'superseded'
  return epochs.includes(epoch) ? 'held' : 'missing'
}

/** The host whose secret it is. */
export interface OwnerState {
  /** Written before the actions of the step that changed it. */
  readonly durable: {
    /** Epochs whose wrapped key it has, newest first. */
    readonly wraps: readonly number[]
    /** The newest one that counts. */
    readonly decided: number
    /** No number is used twice, also when nothing came of it. */
    readonly tried: number
  }
  /** Gone with a crash; so is the new secret, unless it was decided. */
  readonly phase:
    | { readonly kind: 'idle' }
    | { readonly kind: 'preparing'; readonly epoch: number; readonly acknowledged: readonly HostId[] }
    | { readonly kind: 'committing'; readonly epoch: number; readonly acknowledged: readonly HostId[] }
}

export type OwnerEvent =
  /** A new secret was split; the caller keeps shares and wrap until they are sent and written. */
  | { readonly kind: 'begin' }
  | { readonly kind: 'prepared'; readonly from: HostId; readonly epoch: number }
  | { readonly kind: 'committed'; readonly from: HostId; readonly epoch: number }
  | { readonly kind: 'restarted' }
  | { readonly kind: 'timer' }

export type OwnerAction =
  | { readonly kind: 'send-prepare'; readonly to: readonly HostId[]; readonly epoch: number }
  | { readonly kind: 'send-commit'; readonly to: readonly HostId[]; readonly epoch: number }

export interface OwnerContext {
  readonly witnesses: readonly HostId[]
  readonly threshold: number
}

/** How many witnesses must acknowledge before a step counts: those that did not must be too few for the old epoch. */
export function acknowledgementsNeeded({ witnesses, threshold }: OwnerContext): number {
  const all = witnesses.length
  return Math.max(all - Math.floor((all - threshold) / 3), all - threshold + 1)
}

export interface OwnerStep {
  readonly state: OwnerState
  readonly actions: readonly OwnerAction[]
}

export function stepOwner(state: OwnerState, event: OwnerEvent, context: OwnerContext): OwnerStep {
  const { durable, phase } = state
  switch (event.kind) {
    case 'begin': {
      // A decided epoch is first carried to its end: else its witnesses might be fewer than K.
      if (phase.kind === 'committing') return { state, actions: [] }
      const epoch = durable.tried + 1
      const next = {
        durable: { ...durable, tried: epoch },
        phase: { kind: 'preparing', epoch, acknowledged: [] },
      } as const
      return { state: next, actions: [{ kind: 'send-prepare', to: context.witnesses, epoch }] }
    }
    case 'prepared':
      if (phase.kind !== 'preparing' || phase.epoch !== event.epoch) return { state, actions: [] }
      return prepared(state, withOne(phase, event.from, context), context)
    case 'committed':
      if (phase.kind !== 'committing' || phase.epoch !== event.epoch) return { state, actions: [] }
      return committed(state, withOne(phase, event.from, context), context)
    case 'restarted': {
      const isOpen = durable.wraps.length > 1
      if (!isOpen) return { state: { durable, phase: { kind: 'idle' } }, actions: [] }
      const next = { durable, phase: { kind: 'committing', epoch: durable.decided, acknowledged: [] } } as const
      return { state: next, actions: [{ kind: 'send-commit', to: context.witnesses, epoch: durable.decided }] }
    }
    case 'timer': {
      if (phase.kind === 'idle') return { state, actions: [] }
      const to = context.witnesses.filter((witness) => !phase.acknowledged.includes(witness))
      const kind = phase.kind === 'preparing' ? 'send-prepare' : 'send-commit'
      return { state, actions: [{ kind, to, epoch: phase.epoch }] }
    }
  }
}

type Working = Exclude<OwnerState['phase'], { kind: 'idle' }>

function withOne<P extends Working>(phase: P, from: HostId, { witnesses }: OwnerContext): P {
  if (phase.acknowledged.includes(from) || !witnesses.includes(from)) return phase
  return { ...phase, acknowledged: [...phase.acknowledged, from] }
}

function prepared(state: OwnerState, phase: Working, context: OwnerContext): OwnerStep {
  if (phase.acknowledged.length < acknowledgementsNeeded(context)) return { state: { ...state, phase }, actions: [] }
  const { epoch } = phase
  const { wraps, tried } = state.durable
  // One write: the new wrap, and that it counts.
  const durable = { wraps: [epoch, ...wraps], decided: epoch, tried }
  return {
    state: { durable, phase: { kind: 'committing', epoch, acknowledged: [] } },
    actions: [{ kind: 'send-commit', to: context.witnesses, epoch }],
  }
}

function committed(state: OwnerState, phase: Working, context: OwnerContext): OwnerStep {
  if (phase.acknowledged.length < acknowledgementsNeeded(context)) return { state: { ...state, phase }, actions: [] }
  return { state: { durable: { ...state.durable, wraps: [phase.epoch] }, phase: { kind: 'idle' } }, actions: [] }
}
