/** A host that asks for its own secret: the machine of protocol/, over channels. Rules: spec/recovery.md §7. */

import { hex } from '@reprise/core'
import type { Attested } from '../../channel/channel.ts'
import type { LoggedShare } from '../../audit/index.ts'
import { checkQuote, type Quote } from '../../quote.ts'
import {
  type AskingAction,
  type AskingContext,
  type AskingEvent,
  type AskingState,
  newAsking,
  stepAsking,
} from '../../protocol/asking.ts'
import type { Refusal } from '../../protocol/gate.ts'
import type { Verdict } from '../../protocol/verdict.ts'
import type { Generation, Generations } from '../../sealing/generations.ts'
import { isShare } from '../../sealing/quorum-half.ts'
import type { HostId, PriorShutdown, ReleaseRequest, Share } from '../../types.ts'
import type { Ground } from '../ground.ts'
import { observe, sayTo } from '../network.ts'
import { releaseStatement } from '../../plan/digest.ts'
import { sha256 } from '../../sealing/words.ts'

/** What the quorum gave. */
export interface Gathered {
  readonly epoch: number
  readonly attempt: string
  readonly verdict: Verdict
  readonly shares: readonly Share[]
  /** For the log: what the witnesses quoted. */
  readonly logged: readonly (LoggedShare & { readonly witness: HostId })[]
}

export interface Asking {
  readonly state: AskingState
  /** Begins anew: a plan was taken, or what was gathered opened nothing. */
  readonly again: () => void
  readonly stop: () => void
}

export interface AskingOptions {
  readonly ground: Ground
  readonly prior: PriorShutdown
  readonly generations: Generations
  readonly onGathered: (gathered: Gathered) => void
  readonly onChange: () => void
  readonly onPlanVersion: (peer: HostId, version: number) => void
}

const ATTEMPT_BYTES = 16

export function startAsking(options: AskingOptions): Asking {
  const { ground, prior, generations, onGathered, onChange, onPlanVersion } = options
  const wraps = [generations.current, generations.previous].filter((each) => each !== undefined)
  const jitter = ground.random(1)[0] / 255
  const releases = new Map<HostId, LoggedShare>()
  let state = newAsking(prior)
  let timer: NodeJS.Timeout | undefined
  let isStopped = false

  function feed(event: AskingEvent): void {
    if (isStopped) return
    const { state: next, actions } = stepAsking(state, event, contextOf(ground, wraps))
    state = next
    for (const action of actions) carry(action)
    onChange()
  }

  function carry(action: AskingAction): void {
    switch (action.kind) {
      case 'observe':
        void lookAround(action)
        break
      case 'ask-share':
        void askShare(action.to, action.request)
        break
      case 'set-timer':
        clearTimeout(timer)
        timer = setTimeout(() => feed({ kind: 'timer' }), action.afterMs * (1 + jitter / 4))
        break
      case 'release': {
        const logged = action.shares.flatMap((share) => {
          const witness = ground.fleet().own.peers[share.index]
          const release = releases.get(witness)
          return release === undefined ? [] : [{ witness, ...release }]
        })
        const { verdict, shares } = action
        onGathered({ epoch: state.epochs[0], attempt: state.attempt, verdict, shares, logged })
        break
      }
      case 'alarm':
        ground.alarm(`this host looks stolen, with odds of ${(100 * action.theft).toFixed(1)} %: nothing is released`)
        break
    }
  }

  async function lookAround({ about, peers }: AskingAction & { readonly kind: 'observe' }): Promise<void> {
    const { network, times } = ground
    const { attempt } = state
    const observations = await observe(network, { about, peers, withinMs: times.observeMs, onPlanVersion })
    if (attempt === state.attempt) feed({ kind: 'observed', observations })
  }

  async function askShare(to: HostId, request: ReleaseRequest): Promise<void> {
    const { attempt } = request
    const got = await shareFrom(ground, to, request)
    if (got.kind === 'refused') return feed({ kind: 'refused', from: to, attempt, refusals: got.refusals })
    releases.set(to, got.release)
    feed({ kind: 'share', from: to, attempt, share: got.share })
  }

  function begin(): void {
    clearTimeout(timer)
    releases.clear()
    wipe(state)
    const epochs = wraps.map(({ half }) => half.epoch)
    feed({ kind: 'booted', attempt: hex(ground.random(ATTEMPT_BYTES)), prior, epochs })
  }

  begin()
  return {
    get state() {
      return state
    },
    again: begin,
    stop: () => {
      isStopped = true
      clearTimeout(timer)
      wipe(state)
    },
  }
}

type Got =
  | { readonly kind: 'share'; readonly share: Share; readonly release: LoggedShare }
  /** Without refusals: silent, or it cannot prove what it says. */
  | { readonly kind: 'refused'; readonly refusals: readonly Refusal[] }

async function shareFrom(ground: Ground, to: HostId, request: ReleaseRequest): Promise<Got> {
  const nothing = (why: string): Got => {
    ground.report('no share', { from: to, why })
    return { kind: 'refused', refusals: [] }
  }
  const said = await sayTo(ground.network, to, { kind: 'ask', request }, ground.times.answerMs)
  if (said.kind !== 'answered') return nothing(said.why)
  const { answer, peer } = said
  switch (answer.kind) {
    case 'share': {
      const release = await checkedRelease(ground, { peer, request, quote: answer.release })
      if (release === undefined) return nothing('it did not quote what it gave')
      return { kind: 'share', share: answer.share, release }
    }
    case 'refused':
      ground.report('refused by', { from: to, rules: answer.refusals.map(({ rule }) => rule).join(' ') })
      return { kind: 'refused', refusals: answer.refusals }
    case 'failed':
      return nothing(answer.text)
    default:
      return nothing(`it answered ${answer.kind}`)
  }
}

function wipe({ exchanges }: AskingState): void {
  for (const each of exchanges) if (each.kind === 'given') each.share.bytes.fill(0)
}

function contextOf(ground: Ground, wraps: readonly Generation[]): AskingContext {
  const { own, plan } = ground.fleet()
  const isValid = (share: Share): boolean =>
    wraps.some(({ half: { host, epoch }, threshold, shareDigests: digests }) =>
      isShare(share, { host, epoch, threshold, digests }),
    )
  return { view: own, policy: plan.policy, rosterVersion: plan.roster.version, isValid }
}

/** What the witness signed of its gift; a witness with another plan signs another one, and is not believed. */
async function checkedRelease(
  ground: Ground,
  of: { readonly peer: Attested; readonly request: ReleaseRequest; readonly quote: Quote },
): Promise<LoggedShare | undefined> {
  const { host, epoch, index, attempt } = of.request
  const { digest: planDigest } = ground.fleet()
  const { akPublic } = of.peer
  const statement = releaseStatement({ host, epoch, index, attempt, planDigest }, sha256)
  const checked = checkQuote(of.quote, { akPublic, statement })
  if (checked.kind === 'broken') return undefined
  return { epoch, index, attempt, plan: planDigest, quote: { akPublic, ...of.quote } }
}
