/** Asks a fleet how it stands. Truth: spec/board.md §1. */
import { type Network, sayTo } from '../agent/network.ts'
import type { HostStatus } from '../channel/messages.ts'
import type { HostId, Plan } from '../types.ts'
import { type Heard, type Sightings, sightingsOf } from './sightings.ts'

export interface Collecting {
  readonly plan: Plan
  /** Who asks, and how it stands itself. */
  readonly own: HostStatus
  readonly network: Network
  /** How long each host is waited for. */
  readonly withinMs: number
  readonly wallMs: () => number
}

/** A fleet of ten thousand is asked in parts: each channel that is opened costs both sides a signature of their TPMs. */
const AT_ONCE = 128

export async function collectSightings({ plan, own, network, withinMs, wallMs }: Collecting): Promise<Sightings> {
  const heard = new Map<HostId, Heard>([[own.host, { kind: 'status', status: own }]])
  const left = plan.roster.hosts.filter(({ id, state }) => state === 'active' && id !== own.host)
  const ask = async (): Promise<void> => {
    for (let host = left.pop(); host !== undefined; host = left.pop()) {
      const said = await sayTo(network, host.id, { kind: 'status' }, withinMs)
      if (said.kind !== 'answered') heard.set(host.id, { kind: said.kind, why: said.why })
      else if (said.answer.kind === 'status' && said.answer.status.host === host.id)
        heard.set(host.id, { kind: 'status', status: said.answer.status })
      else heard.set(host.id, { kind: 'unreachable', why: `it answers with ${said.answer.kind}` })
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, ask))
  return sightingsOf(plan, heard, { by: own.host, takenWallMs: wallMs() })
}
