/** What a released host does every ten minutes: it proves itself to its witnesses, and renews its own lease. Rules: spec/agent.md §5, §7. */

import type { Attested } from '../../channel/channel.ts'
import type { Message } from '../../channel/messages.ts'
import type { Countersign } from '../../audit/index.ts'
import { checkQuote } from '../../quote.ts'
import { readGenerations, renewLease } from '../../sealing/generations.ts'
import { leaseKey, type PolicySigner } from '../../sealing/keys.ts'
import type { HostId } from '../../types.ts'
import { RecoveryError } from '../../error.ts'
import type { Ground } from '../ground.ts'
import { sayTo } from '../network.ts'
import { heartbeatStatement } from '../../plan/digest.ts'
import { sha256 } from '../../sealing/words.ts'
import { proveByLease } from '../proofs.ts'
import { clockNow } from '../tpm/boot-facts.ts'
import { leaseRequest } from './drawing.ts'
import type { OwnParts } from './opening.ts'
import type { OwnerMemory } from './owner-memory.ts'

export interface Beat {
  readonly epoch: number
  readonly wallMs: number
  /** Whose countersignature came. */
  readonly signed: readonly HostId[]
  /** Witnesses that answer and keep no share of this epoch: the next rotation brings them one. */
  readonly lagging: readonly HostId[]
  /** Enough for the lease to count from here. */
  readonly isEnough: boolean
}

/** @throws RecoveryError `NOT_NOW` when the host is not released. */
export async function beat(
  { ground, keeper, roots, inTurn }: OwnParts,
  memory: OwnerMemory,
  auditPlace: () => { readonly head: Uint8Array; readonly length: number },
): Promise<Beat> {
  const { current } = await readGenerations(keeper)
  const root = current && roots.of(current.half.epoch)
  if (current === undefined || root === undefined)
    throw new RecoveryError('NOT_NOW', { message: `${ground.host} is not released: it has no heartbeat to give.` })
  const { epoch } = current.half
  const clock = await clockNow(ground.pinned)
  const wallMs = ground.nowMs()
  const { witnesses, plan } = ground.fleet()
  const { head, length } = auditPlace()
  // Made now: a rotation that comes in between wipes the root.
  const key = leaseKey(root)
  const beats = await Promise.all(witnesses.map((to) => beatTo(ground, { to, epoch, key, head, length })))
  const countersigns = beats.flatMap((one) => (one.kind === 'signed' ? [one.countersign] : []))
  const isEnough = plan.mode === 'tpm-only' || countersigns.length >= plan.policy.threshold
  const isCurrent = async (): Promise<boolean> => (await readGenerations(keeper)).current?.half.epoch === epoch
  if (isEnough) {
    await memory.change(() => ({ heartbeat: clock }))
    const renewal = await inTurn(async () =>
      // A rotation may have come in between; its lease is as new.
      (await isCurrent()) ? await renewLease(keeper, root, leaseRequest(ground.fleet())) : 'unchanged',
    )
    if (renewal === 'written') ground.report('lease renewed', { epoch })
    if (countersigns.length > 0) await ground.audit({ kind: 'heartbeat', epoch, length, head, countersigns })
  }
  const lagging = (await isCurrent()) ? witnesses.filter((_, i) => beats[i].kind === 'lagging') : []
  const signed = countersigns.map(({ witness }) => witness)
  ground.report('heartbeat', { epoch, signed: signed.length, of: witnesses.length, lagging: lagging.length })
  return { epoch, wallMs, signed, lagging, isEnough }
}

interface Beating {
  readonly to: HostId
  readonly epoch: number
  readonly key: PolicySigner
  readonly head: Uint8Array
  readonly length: number
}

type Outcome =
  | { readonly kind: 'signed'; readonly countersign: Countersign & { readonly witness: HostId } }
  | { readonly kind: 'lagging' | 'silent' }

async function beatTo(ground: Ground, { to, epoch, key, head, length }: Beating): Promise<Outcome> {
  const statementFor = ({ exporter }: Attested): Uint8Array =>
    heartbeatStatement(
      { host: ground.host, witness: to, epoch, auditHead: head, auditLength: length, exporter },
      sha256,
    )
  const message = (peer: Attested): Message => {
    const proof = proveByLease(key, statementFor(peer))
    return { kind: 'heartbeat', epoch, auditHead: head, auditLength: length, proof }
  }
  const said = await sayTo(ground.network, to, message, ground.times.answerMs)
  if (said.kind !== 'answered') return { kind: 'silent' }
  const { answer, peer } = said
  if (answer.kind === 'failed') {
    ground.report('heartbeat not taken', { by: to, code: answer.code, why: answer.text })
    return { kind: answer.code === 'NOT_NOW' ? 'lagging' : 'silent' }
  }
  if (answer.kind !== 'beaten') return { kind: 'silent' }
  const { akPublic, exporter } = peer
  const checked = checkQuote(answer.countersign, { akPublic, statement: statementFor(peer) })
  if (checked.kind === 'broken') {
    ground.alarm(`${to} countersigned something else than the heartbeat: ${checked.why}`)
    return { kind: 'silent' }
  }
  return { kind: 'signed', countersign: { witness: to, akPublic, exporter, ...answer.countersign } }
}
