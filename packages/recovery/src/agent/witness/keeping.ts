/** A share of somebody's new secret: is it his to hand out, and kept under this host's TPM. Rules: spec/agent.md §5. */

import type { Attested } from '../../channel/channel.ts'
import type { Answer, Message } from '../../channel/messages.ts'
import { approverOf } from '../../operators/index.ts'
import { shareDigest } from '../../plan/digest.ts'
import { prepare } from '../../protocol/epochs.ts'
import { judgeVouchers, type Vouched, type Voucher } from '../../protocol/vouching.ts'
import { keepShare, SHARE_BYTES } from '../../sealing/quorum-half.ts'
import { sha256 } from '../../sealing/words.ts'
import { sayTo } from '../network.ts'
import { isLedTo } from '../proofs.ts'
import type { KeptEpoch, Ward } from '../state/witness-file.ts'
import { heldOf, knownKeys, seenOf, type Wards, withShare } from './wards.ts'
import { failed, ownClocks, standingOf, wardOf, type WitnessParts } from './failing.ts'

type Prepare = Message & { readonly kind: 'prepare' }

export async function answerPrepare(parts: WitnessParts, from: Attested, message: Prepare): Promise<Answer> {
  const { ground, memory } = parts
  const { epoch } = message.share
  const ward = wardOf(parts, from.host)
  const refused = standingOf(parts, from) ?? misplaced(parts, from, message) ?? (await unproven(parts, ward, message))
  if (refused !== undefined) return refused
  if (ward.shares.some((kept) => kept.epoch === epoch)) return { kind: 'prepared', epoch }
  const held = heldOf(ward)
  if (prepare(held, epoch) === held) return failed('NOT_NOW', `epoch ${epoch} is older than what is kept here`)

  const { pinned, fleet } = ground
  const kept = await keepShare(pinned, message.share, { id: ground.host, approver: approverOf(fleet().plan) })
  const { index, leaseKey } = { index: kept.index, leaseKey: message.leaseKey }
  const line: KeptEpoch = { epoch, index, leaseKey, private: kept.sealed.private, public: kept.sealed.public }
  const at = await ownClocks(parts)
  const note = (wards: Wards): Wards => {
    const now = wards.get(ward.host) ?? ward
    const after = withShare(now, line)
    // Whoever hears no answer asks again, while the TPM still works for the first time.
    if (after === now) return wards
    // A first share is the first that is heard of its host: one that loses its power before its first heartbeat comes back.
    const first = now.heartbeat === null ? { heartbeat: at, seen: seenOf(from) } : {}
    return new Map(wards).set(ward.host, { ...after, ...first })
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
async function unproven(parts: WitnessParts, ward: Ward, message: Prepare): Promise<Answer | undefined> {
  const { ground } = parts
  const { share, leaseKey, succession } = message
  const wanted = { epoch: share.epoch, leaseKey }
  const known = knownKeys(ward)
  const vouched = known.length > 0 ? byOwn(isLedTo(ward.host, wanted, { known, links: succession })) : undefined
  const judged = vouched ?? (await byOthers(parts, ward, message))
  if (judged === 'take') return undefined
  if (judged === 'wait')
    return failed('NOT_NOW', `too few other witnesses of ${ward.host} answer to tell whose share it is`)
  ground.alarm(`${ward.host} handed out a share of epoch ${share.epoch} whose lease key nobody vouches for`)
  return failed('PROOF', `no lease key that is known here vouches for that of epoch ${share.epoch}`)
}

function byOwn(isLed: boolean): Vouched {
  return isLed ? 'take' : 'refuse'
}

/** A witness that knows no lease key of the host asks those that may. */
async function byOthers({ ground }: WitnessParts, { host, ak }: Ward, message: Prepare): Promise<Vouched> {
  const { share, leaseKey, succession } = message
  const { view, plan } = ground.fleet()
  const asked = view(host)
  const others = (asked?.peers.slice(0, asked.witnesses) ?? []).filter((peer) => peer !== ground.host)
  const wanted = { epoch: share.epoch, leaseKey }
  const vouchers = await Promise.all(
    others.map(async (to): Promise<Voucher> => {
      const said = await sayTo(ground.network, to, { kind: 'vouch', about: host }, ground.times.observeMs)
      if (said.kind !== 'answered' || said.answer.kind !== 'vouched') return 'silent'
      const { keys: known } = said.answer
      // Of another attestation key: of the host that was there before.
      if (known.length === 0 || said.answer.ak !== ak) return 'none'
      return isLedTo(host, wanted, { known, links: succession }) ? 'led' : 'against'
    }),
  )
  return judgeVouchers(vouchers, plan.policy.threshold)
}
