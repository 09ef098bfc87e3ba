/** Other hosts, as an agent reaches them. */

import type { Attested, Opened } from '../channel/channel.ts'
import type { Answer, Message } from '../channel/messages.ts'
import type { Observation } from '../protocol/facts.ts'
import type { HostId } from '../types.ts'

/** What the agent needs of the channels; they are opened, kept and closed below. */
export interface Network {
  /** An attested channel to that host: one that is there, or a new one. */
  readonly reach: (host: HostId) => Promise<Opened>
  /** Peers shall see the registers as they are now: new channels from here on. */
  readonly renew: () => void
}

/** What came of saying something. */
export type Said =
  | { readonly kind: 'answered'; readonly answer: Answer; readonly peer: Attested }
  | { readonly kind: 'unattested'; readonly why: string }
  | { readonly kind: 'unreachable'; readonly why: string }

/**
 * Says one thing to a host, with an answer in time or none.
 *
 * @param message - Where it depends on the channel, a function of the peer at its other end.
 */
export async function sayTo(
  network: Network,
  to: HostId,
  message: Message | ((peer: Attested) => Message),
  timeoutMs: number,
): Promise<Said> {
  return await within(timeoutMs, async () => {
    const opened = await network.reach(to)
    if (opened.kind !== 'attested') return opened
    const { channel } = opened
    try {
      const answer = await channel.say(typeof message === 'function' ? message(channel.peer) : message, timeoutMs)
      return { kind: 'answered', answer, peer: channel.peer }
    } catch (error) {
      return { kind: 'unreachable', why: error instanceof Error ? error.message : String(error) }
    }
  })
}

/** The work's outcome, or that nothing came in time; the work then goes on unheard. */
async function within(timeoutMs: number, work: () => Promise<Said>): Promise<Said> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<Said>((resolve) => {
    timer = setTimeout(() => resolve({ kind: 'unreachable', why: `no answer within ${timeoutMs} ms` }), timeoutMs)
  })
  try {
    return await Promise.race([work(), late])
  } finally {
    clearTimeout(timer)
  }
}

export interface Observing {
  readonly about: HostId
  readonly peers: readonly HostId[]
  /** How long a peer is waited for. */
  readonly withinMs: number
  /** What versions of the plan peers turned out to have. */
  readonly onPlanVersion: (peer: HostId, version: number) => void
}

/** Asks each peer once; in their order. */
export async function observe(network: Network, of: Observing): Promise<readonly Observation[]> {
  const { about, peers, withinMs, onPlanVersion } = of
  return await Promise.all(
    peers.map(async (peer): Promise<Observation> => {
      const said = await sayTo(network, peer, { kind: 'observe', about }, withinMs)
      if (said.kind !== 'answered') return { kind: said.kind }
      if (said.answer.kind !== 'observed') return { kind: 'unreachable' }
      onPlanVersion(peer, said.answer.planVersion)
      return { kind: 'attested', report: said.answer.report, roundTripMs: said.peer.roundTripMs }
    }),
  )
}
