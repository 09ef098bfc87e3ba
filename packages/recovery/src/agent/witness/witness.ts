/** A host as witness of others: what it answers about them, and what it keeps. Rules: spec/agent.md §5, §6. */

import type { Attested } from '../../channel/channel.ts'
import type { Answer, Message } from '../../channel/messages.ts'
import type { SpreadStatement } from '../../operators/index.ts'
import { reportOf } from '../../protocol/witness.ts'
import type { HostId } from '../../types.ts'
import type { FleetView } from '../fleet-view.ts'
import { heartbeatStatement } from '../../plan/digest.ts'
import { sha256 } from '../../sealing/words.ts'
import { provesByLease } from '../proofs.ts'
import type { Ward } from '../state/witness-file.ts'
import { extendedHeartbeat } from './extension.ts'
import { failed, ownClocks, quoteOwn, standingOf, type WitnessParts } from './failing.ts'
import { answerPrepare } from './keeping.ts'
import type { Memory } from './memory.ts'
import { makeSharing } from './sharing.ts'
import { knownKeys, seenOf, type Wards, withRoundTrip } from './wards.ts'

export interface Witness {
  readonly memory: Memory
  readonly answer: (from: Attested, message: WitnessMessage) => Promise<Answer>
  /** Goes by the plan that was just taken. */
  readonly adopt: (fleet: FleetView, before?: FleetView) => Promise<void>
  /** The operators' signatures were checked. */
  readonly hear: (statement: SpreadStatement) => Promise<void>
}

export type WitnessMessage = Message & {
  readonly kind: 'observe' | 'ask' | 'heartbeat' | 'prepare' | 'commit' | 'vouch'
}

export function makeWitness(parts: WitnessParts): Witness {
  const { ground, memory } = parts
  const sharing = makeSharing(parts)
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
        case 'vouch': {
          const ward = memory.wards.get(message.about)
          const keys = ward === undefined ? [] : knownKeys(ward).map(({ epoch, leaseKey }) => ({ epoch, leaseKey }))
          return keys.length === 0 ? { kind: 'vouched', keys } : { kind: 'vouched', ak: ward?.ak, keys }
        }
      }
    },
    adopt: async (fleet, before) => {
      const isSame = ({ host, ak }: Ward): boolean => fleet.hostNamed(host)?.ak === ak
      const forget = (wards: Wards): Wards =>
        [...wards.values()].every(isSame) ? wards : new Map([...wards].filter(([, ward]) => isSame(ward)))
      await memory.step({ kind: 'roster', version: fleet.plan.roster.version }, forget)
      // Another key is another host: what operators said of the one before is not about it.
      const isOther = (host: HostId): boolean =>
        before !== undefined && before.hostNamed(host)?.ak !== fleet.hostNamed(host)?.ak
      await memory.pardon([...memory.state.durable.revoked].filter(isOther))
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
  const statement = heartbeatStatement(facts, sha256)
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
  const quote = await quoteOwn(ground, statement)
  const countersign = { akPublic: ground.hostTpm.akPublic, ...quote, exporter: from.exporter }
  await ground.audit({ kind: 'countersign', host: from.host, epoch, length: auditLength, head: auditHead, countersign })
  return { kind: 'beaten', countersign: quote }
}

async function commit(parts: WitnessParts, from: Attested, epoch: number): Promise<Answer> {
  const barred = standingOf(parts, from)
  if (barred !== undefined) return barred
  const actions = await parts.memory.step({ kind: 'commit', from: from.host, epoch })
  const isDone = actions.some(({ kind }) => kind === 'acknowledge')
  return isDone ? { kind: 'committed', epoch } : failed('NOT_NOW', `no share of epoch ${epoch} is kept here`)
}
