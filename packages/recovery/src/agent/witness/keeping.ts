/** A share of somebody's new secret: is it his to hand out, and kept under this host's TPM. Rules: spec/agent.md §5. */

import type { Attested } from '../../channel/channel.ts'
import type { Answer, Message } from '../../channel/messages.ts'
import { approverOf } from '../../operators/index.ts'
import { shareDigest } from '../../plan/digest.ts'
import { NO_SHARES, prepare } from '../../protocol/epochs.ts'
import { keepShare, SHARE_BYTES } from '../../sealing/quorum-half.ts'
import { sha256 } from '../../sealing/words.ts'
import { isLedTo } from '../proofs.ts'
import type { KeptEpoch, Ward } from '../state/witness-file.ts'
import { durableOf, seenOf, type Wards } from './wards.ts'
import { failed, ownClocks, standingOf, wardOf, type WitnessParts } from './failing.ts'

type Prepare = Message & { readonly kind: 'prepare' }

export async function answerPrepare(parts: WitnessParts, from: Attested, message: Prepare): Promise<Answer> {
  const { ground, memory } = parts
  const { epoch } = message.share
  const ward = wardOf(parts, from.host)
  const refused = standingOf(parts, from) ?? misplaced(parts, from, message) ?? unproven(parts, ward, message)
  if (refused !== undefined) return refused
  if (ward.shares.some((kept) => kept.epoch === epoch)) return { kind: 'prepared', epoch }
  const held = durableOf(new Map([[ward.host, ward]]), { rosterVersion: 0, revoked: new Set() }).shares.get(ward.host)
  if (prepare(held ?? NO_SHARES, epoch) === (held ?? NO_SHARES))
    return failed('NOT_NOW', `epoch ${epoch} is older than what is kept here`)

  const { pinned, fleet } = ground
  const kept = await keepShare(pinned, message.share, { id: ground.host, approver: approverOf(fleet().plan) })
  const { index, leaseKey } = { index: kept.index, leaseKey: message.leaseKey }
  const line: KeptEpoch = { epoch, index, leaseKey, private: kept.sealed.private, public: kept.sealed.public }
  const at = await ownClocks(parts)
  const note = (wards: Wards): Wards => {
    const now = wards.get(ward.host) ?? ward
    // Whoever hears no answer asks again, while the TPM still works for the first time.
    if (now.shares.some((kept) => kept.epoch === epoch)) return wards
    // A first share is the first that is heard of its host: one that loses its power before its first heartbeat comes back.
    const first = now.heartbeat === null ? { heartbeat: at, seen: seenOf(from) } : {}
    return new Map(wards).set(ward.host, { ...now, ...first, shares: [...now.shares, line] })
  }
  await memory.step({ kind: 'prepare', from: from.host, epoch }, note)
  const isKept = memory.wards.get(from.host)?.shares.some((share) => share.epoch === epoch) ?? false
  return isKept ? { kind: 'prepared', epoch } : failed('NOT_NOW', `epoch ${epoch} came too late`)
}

/** Whether the share is this host's to keep: the plan says whose witness it is, and at which place. */
function misplaced({ ground }: WitnessParts, from: Attested, { share, leaseKey }: Prepare): Answer | undefined {
  const view = ground.fleet().view(from.host)
  if (share.host !== from.host) return failed('NOT_FOR_YOU', 'it is a share of another host')
  if (view === undefined || share.index >= view.witnesses || view.peers[share.index] !== ground.host)
    return failed(
      'NOT_FOR_YOU',
      `this host is not witness ${share.index} of ${from.host} in version ${ground.fleet().plan.roster.version}`,
    )
  const isWhole =
    share.bytes.length === SHARE_BYTES &&
    leaseKey.length === 65 &&
    Buffer.compare(share.digest, shareDigest(share, share.bytes, sha256)) === 0
  return isWhole ? undefined : failed('MALFORMED', 'its bytes are no share of that digest')
}

/** Whoever was not released has no lease key that leads to the new one. */
function unproven({ ground }: WitnessParts, ward: Ward, { share, leaseKey, succession }: Prepare): Answer | undefined {
  const known = ward.shares.filter(({ epoch }) => epoch <= ward.committed)
  if (known.length === 0) return undefined
  if (isLedTo(ward.host, { epoch: share.epoch, leaseKey }, { known, links: succession })) return undefined
  ground.alarm(`${ward.host} handed out a share of epoch ${share.epoch} whose lease key nobody vouches for`)
  return failed('PROOF', `no lease key that is known here vouches for that of epoch ${share.epoch}`)
}
