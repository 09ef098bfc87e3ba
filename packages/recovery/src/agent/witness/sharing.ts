/** Requests for shares: judged by the machine, opened in the TPM when all rules hold, and given. Rules: spec/agent.md §6. */

import type { Attested } from '../../channel/channel.ts'
import type { Answer } from '../../channel/messages.ts'
import { approverOf, shareApprovals } from '../../operators/index.ts'
import { releaseStatement, shareDigest } from '../../plan/digest.ts'
import type { WitnessAction } from '../../protocol/witness.ts'
import { openShare } from '../../sealing/quorum-half.ts'
import { sha256 } from '../../sealing/words.ts'
import type { HostId, ReleaseRequest } from '../../types.ts'
import { observe } from '../network.ts'
import type { KeptEpoch } from '../state/witness-file.ts'
import { messageOf } from '../ground.ts'
import { digestOf } from '../state/folder.ts'
import { baselineMs, priorSeen } from './wards.ts'
import { failed, failedBy, ownClocks, quoteOwn, type WitnessParts } from './failing.ts'

export interface Sharing {
  readonly ask: (from: Attested, request: ReleaseRequest) => Promise<Answer>
}

/** After this a share that was given is wiped here. */
const WIPE_MS = 2000

export function makeSharing(parts: WitnessParts): Sharing {
  const { ground, memory, onOldPlan, onPlanVersion } = parts
  /** By the host that asked. */
  const waiting = new Map<HostId, (answer: Answer) => void>()

  async function carry(actions: readonly WitnessAction[]): Promise<void> {
    for (const action of actions) {
      if (action.kind === 'observe') await lookAround(action)
      else if (action.kind === 'refuse') await refuse(action)
      else if (action.kind === 'give-share') answer(action.request.host, await give(parts, action.request))
    }
  }

  function answer(host: HostId, said: Answer): void {
    waiting.get(host)?.(said)
    waiting.delete(host)
  }

  async function lookAround({ about, peers }: WitnessAction & { readonly kind: 'observe' }): Promise<void> {
    const { network, times } = ground
    const observations = await observe(network, { about, peers, withinMs: times.observeMs, onPlanVersion })
    await carry(await memory.step({ kind: 'observed', about, observations, at: await ownClocks(parts) }))
  }

  async function refuse({ request, refusals }: WitnessAction & { readonly kind: 'refuse' }): Promise<void> {
    const { host, epoch, index, attempt } = request
    const rules = refusals.map(({ rule }) => rule)
    ground.report('refused', { host, epoch, rules: rules.join(' ') })
    await ground.audit({ kind: 'refusal', host, epoch, index, attempt, rules })
    if (rules.includes('ROSTER_OLD')) onOldPlan(host)
    answer(host, { kind: 'refused', refusals })
  }

  return {
    async ask(from, said) {
      if (said.host !== from.host) return failed('NOT_FOR_YOU', `${from.host} asked for the share of ${said.host}`)
      const ward = memory.wards.get(from.host)
      const request = { ...said, prior: priorSeen(said.prior, from, ward?.seen) }
      const { host, epoch, index, attempt } = request
      await ground.audit({ kind: 'request', host, epoch, index, attempt })
      const answered = Promise.withResolvers<Answer>()
      answer(host, failed('NOT_NOW', 'a newer question of the same host came'))
      waiting.set(host, answered.resolve)
      const channel = { roundTripMs: from.roundTripMs, baselineMs: baselineMs(ward) }
      const asked = { request, isAttested: true, isMeasurementApproved: from.boot !== undefined, ...channel }
      try {
        await carry(await memory.step({ kind: 'asked', asked, at: await ownClocks(parts) }))
      } catch (error) {
        answer(host, failedBy(ground, 'a share', error))
      }
      const given = await answered.promise
      // Whoever called writes it out at once; nobody needs it afterwards.
      if (given.kind === 'share') setTimeout(() => given.share.bytes.fill(0), WIPE_MS).unref()
      return given
    },
  }
}

async function give(parts: WitnessParts, request: ReleaseRequest): Promise<Answer> {
  const { ground, memory } = parts
  const { host, epoch, index, attempt } = request
  const kept = memory.wards.get(host)?.shares.find((share) => share.epoch === epoch)
  if (kept === undefined) return failed('NOT_NOW', `no share of epoch ${epoch} is kept here`)
  const { digest: planDigest } = ground.fleet()
  const release = await quoteOwn(ground, releaseStatement({ host, epoch, index, attempt, planDigest }, sha256))
  const quote = { akPublic: ground.hostTpm.akPublic, ...release }
  const bytes = await openKept(parts, { host, kept }).catch(messageOf)
  if (typeof bytes === 'string') {
    // Damaged, it is named; the other witnesses have theirs, and the next rotation brings another one.
    const which = `${ground.paths.witness}, epoch ${epoch}, SHA-256 ${digestOf(kept.private)}`
    ground.alarm(`a share of ${host} cannot be opened here (${which}): ${bytes}`)
    return failed('NOT_NOW', `the TPM of the witness does not open the share: ${bytes}`)
  }
  await ground.audit({ kind: 'share-given', host, epoch, index, attempt, plan: planDigest, quote })
  ground.report('share given', { host, epoch, index })
  const digest = shareDigest({ host, epoch, index }, bytes, sha256)
  return { kind: 'share', share: { host, epoch, index, bytes, digest }, release }
}

/** @returns The share, which is wiped once it was sent; or the rule by which the own TPM refuses. */
async function openKept(
  { ground }: WitnessParts,
  { host, kept }: { readonly host: HostId; readonly kept: KeptEpoch },
): Promise<Uint8Array | string> {
  const { pinned, fleet, host: own } = ground
  const { plan, approvals } = fleet()
  const { epoch, index } = kept
  const share = { host, epoch, index, sealed: { private: kept.private, public: kept.public } }
  let refused = 'no boot of this host is approved'
  for (const { signed } of shareApprovals({ plan, approvals }, own)) {
    const opened = await openShare(pinned, share, { approval: signed, approver: approverOf(plan) })
    if (opened.kind === 'opened') return opened.secret.bytes
    refused = opened.rule
  }
  return refused
}
