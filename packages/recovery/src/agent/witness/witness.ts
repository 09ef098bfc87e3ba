/** A host as witness of others: what it answers about them, and what it keeps. Rules: spec/agent.md §5, §6. */

import type { Attested } from '../../channel/channel.ts'
import type { Answer, FailedCode, Message } from '../../channel/messages.ts'
import { reportOf, type Clocks } from '../../protocol/witness.ts'
import type { HostId } from '../../types.ts'
import type { Statement } from '../../operators/index.ts'
import type { FleetView } from '../fleet-view.ts'
import { type Ground, messageOf } from '../ground.ts'
import { heartbeatStatement, provesByLease } from '../proofs.ts'
import { clockNow } from '../tpm/boot-facts.ts'
import { extendedHeartbeat } from './extension.ts'
import { answerPrepare } from './keeping.ts'
import type { Memory } from './memory.ts'
import { makeSharing, type Sharing } from './sharing.ts'
import { newWard, seenOf, type Wards, withRoundTrip } from './wards.ts'

export interface WitnessParts {
  readonly ground: Ground
  readonly memory: Memory
  /** A peer turned out to have an older plan than this host. */
  readonly onOldPlan: (peer: HostId) => void
  readonly onPlanVersion: (peer: HostId, version: number) => void
}

export interface Witness {
  readonly memory: Memory
  readonly answer: (from: Attested, message: WitnessMessage) => Promise<Answer>
  /** Goes by the plan that was just taken. */
  readonly adopt: (fleet: FleetView) => Promise<void>
  /** The operators' signatures were checked. */
  readonly hear: (statement: Statement) => Promise<void>
}

export type WitnessMessage = Message & {
  readonly kind: 'observe' | 'ask' | 'heartbeat' | 'prepare' | 'commit'
}

export function failed(code: FailedCode, text: string): Answer {
  return { kind: 'failed', code, text }
}

export async function ownClocks({ ground, memory }: Pick<WitnessParts, 'ground' | 'memory'>): Promise<Clocks> {
  const { clock } = await clockNow(ground.pinned)
  return memory.clocks(Number(clock), ground.nowMs())
}

export function makeWitness(parts: WitnessParts): Witness {
  const { ground, memory } = parts
  const sharing: Sharing = makeSharing(parts)
  return {
    memory,
    answer: async (from, message) => {
      switch (message.kind) {
        case 'observe': {
          const report = reportOf(memory.state, message.about, await ownClocks(parts))
          return { kind: 'observed', report, planVersion: ground.fleet().plan.roster.version }
        }
        case 'ask':
          return await sharing.ask(from, message.request)
        case 'heartbeat':
          return await heartbeat(parts, from, message)
        case 'prepare':
          return await answerPrepare(parts, from, message)
        case 'commit':
          return await commit(parts, from, message.epoch)
      }
    },
    adopt: async (fleet) => {
      const isSame = (ward: { readonly host: HostId; readonly ak: string }): boolean =>
        fleet.hostNamed(ward.host)?.ak === ward.ak
      const forget = (wards: Wards): Wards =>
        [...wards.values()].every(isSame) ? wards : new Map([...wards].filter(([, ward]) => isSame(ward)))
      await memory.step({ kind: 'roster', version: fleet.plan.roster.version }, forget)
    },
    hear: async (statement) => {
      const { host } = statement
      if (statement.kind === 'revocation') {
        await memory.step({ kind: 'revoked', host })
        return
      }
      const ward = memory.wards.get(host)
      const at = ward && extendedHeartbeat(statement, ward.heartbeat, await ownClocks(parts))
      if (at !== undefined) await memory.step({ kind: 'heartbeat', from: host, at })
    },
  }
}

/** Why a host may hand out nothing and renew nothing; undefined when it may. */
export function standingOf({ ground, memory }: WitnessParts, from: Attested): Answer | undefined {
  if (from.boot === undefined) return failed('PROOF', 'its registers are those of no approved boot')
  if (memory.state.durable.revoked.has(from.host)) return failed('NOT_FOR_YOU', 'it was revoked')
  if (ground.fleet().view(from.host)?.isActive !== true) return failed('NOT_FOR_YOU', 'it is not active in the roster')
  return undefined
}

/** The ward's line, or a new one. */
export function wardOf({ ground, memory }: WitnessParts, host: HostId): ReturnType<typeof newWard> {
  return memory.wards.get(host) ?? newWard(host, ground.fleet().hostNamed(host)?.ak ?? '')
}

async function heartbeat(
  parts: WitnessParts,
  from: Attested,
  { epoch, auditHead, auditLength, proof }: Message & { readonly kind: 'heartbeat' },
): Promise<Answer> {
  const { ground, memory } = parts
  const barred = standingOf(parts, from)
  if (barred !== undefined) return barred
  const kept = memory.wards.get(from.host)?.shares.find((share) => share.epoch === epoch)
  if (kept === undefined) return failed('NOT_NOW', `no share of epoch ${epoch} is kept here`)
  const facts = { host: from.host, witness: ground.host, epoch, auditHead, auditLength, exporter: from.exporter }
  const statement = heartbeatStatement(facts)
  if (!provesByLease(kept.leaseKey, statement, proof)) {
    ground.alarm(`${from.host} sent a heartbeat without the lease key of epoch ${epoch}`)
    return failed('PROOF', `the lease key of epoch ${epoch} did not sign it`)
  }
  const note = (wards: Wards): Wards => {
    const ward = wards.get(from.host)
    if (ward === undefined) return wards
    const roundTripsMs = withRoundTrip(ward, from.roundTripMs)
    return new Map(wards).set(from.host, { ...ward, seen: seenOf(from), roundTripsMs })
  }
  await memory.step({ kind: 'heartbeat', from: from.host, at: await ownClocks(parts) }, note)
  // Only the lease key of a generation that counts signs heartbeats: whoever missed that it was decided knows it now.
  await memory.step({ kind: 'commit', from: from.host, epoch })
  const { attest, signature } = await quoteOwn(ground, statement)
  const countersign = { akPublic: ground.hostTpm.akPublic, attest, signature, exporter: from.exporter }
  await ground.audit({ kind: 'countersign', host: from.host, epoch, length: auditLength, head: auditHead, countersign })
  return { kind: 'beaten', countersign: { attest, signature } }
}

/** A quote of this host over the cap register, which tells whether it was released. */
export async function quoteOwn(
  { hostTpm, fleet }: Pick<Ground, 'hostTpm' | 'fleet'>,
  statement: Uint8Array,
): ReturnType<Ground['hostTpm']['quote']> {
  return await hostTpm.quote(statement, [fleet().plan.cap.pcr])
}

async function commit(parts: WitnessParts, from: Attested, epoch: number): Promise<Answer> {
  const barred = standingOf(parts, from)
  if (barred !== undefined) return barred
  const actions = await parts.memory.step({ kind: 'commit', from: from.host, epoch })
  const isDone = actions.some(({ kind }) => kind === 'acknowledge')
  return isDone ? { kind: 'committed', epoch } : failed('NOT_NOW', `no share of epoch ${epoch} is kept here`)
}

/** An error as an answer; the log has it whole. */
export function failedBy(ground: Ground, what: string, error: unknown): Answer {
  ground.report('failed', { what, why: messageOf(error) })
  return failed('NOT_NOW', `${what} failed here`)
}
