/** Newer plans and statements of operators pass from host to host. Rules: spec/agent.md §1. */

import { equal, hex } from '@reprise/core'
import type { HostId } from '../types.ts'
import type { Ground } from './ground.ts'
import { sayTo } from './network.ts'
import type { Plans } from './plans.ts'

export interface Spreading {
  /** That peer has this version; it is given ours when ours is newer. */
  readonly saw: (peer: HostId, version: number) => void
  /** Tells a peer the statements that it was not told since this agent started, and compares approvals with it. */
  readonly tell: (peer: HostId) => Promise<void>
  /** That peer has these approvals of this version; it is given ours when they are others. @returns Our own. */
  readonly compare: (peer: HostId, theirs: Approvals) => Approvals
}

/** Of which version, and a digest of all that hold. */
export interface Approvals {
  readonly planVersion: number
  readonly digest: Uint8Array
}

/** The same plan is not pushed to one peer more often. */
const PUSH_MS = 10_000
/** A plan of ten thousand hosts on a slow line. */
const PLAN_MS = 60_000
/** Statements that one heartbeat brings to a peer. */
const TELL_MAX = 32

export function makeSpreading(ground: Ground, plans: Plans): Spreading {
  const pushed = new Map<HostId, { readonly signed: Uint8Array; readonly atMs: number }>()
  const told = new Map<HostId, Set<string>>()

  async function push(peer: HostId): Promise<void> {
    const { signed, plan } = plans.fleet
    const { version } = plan.roster
    const last = pushed.get(peer)
    if (last?.signed === signed && ground.nowMs() - last.atMs < PUSH_MS) return
    pushed.set(peer, { signed, atMs: ground.nowMs() })
    const said = await sayTo(ground.network, peer, { kind: 'plan', signed }, PLAN_MS)
    const isTaken = said.kind === 'answered' && said.answer.kind === 'taken'
    if (isTaken) ground.report('plan passed on', { to: peer, version })
  }

  const approvals = (): Approvals => {
    const { plan, held } = plans.fleet
    return { planVersion: plan.roster.version, digest: held().digest }
  }

  function compare(peer: HostId, theirs: Approvals): Approvals {
    const ours = approvals()
    if (theirs.planVersion === ours.planVersion && !equal(theirs.digest, ours.digest)) void push(peer)
    return ours
  }

  return {
    compare,
    saw: (peer, version) => {
      if (version < plans.fleet.plan.roster.version) void push(peer)
    },
    tell: async (peer) => {
      const known = told.get(peer) ?? new Set()
      told.set(peer, known)
      const news = plans.statements.filter(({ digest }) => !known.has(hex(digest))).slice(0, TELL_MAX)
      for (const { digest, signed } of news) {
        const said = await sayTo(ground.network, peer, { kind: 'statement', signed }, ground.times.answerMs)
        if (said.kind !== 'answered') return
        known.add(hex(digest))
      }
      const said = await sayTo(ground.network, peer, { kind: 'approvals', ...approvals() }, ground.times.answerMs)
      if (said.kind === 'answered' && said.answer.kind === 'approvals') compare(peer, said.answer)
    },
  }
}
