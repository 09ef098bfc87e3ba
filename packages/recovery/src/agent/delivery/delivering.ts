/** This host delivers to another one, as operators permitted it: spec/agent.md §11. */

import { setTimeout as sleepMs } from 'node:timers/promises'
import type { Attested } from '../../channel/channel.ts'
import type { Answer } from '../../channel/messages.ts'
import { RecoveryError } from '../../error.ts'
import { readStatement, type SignedStatement } from '../../operators/index.ts'
import { describeRefusal, roundTripRefusal } from '../../protocol/gate.ts'
import type { HostId } from '../../types.ts'
import { type Ground, messageOf } from '../ground.ts'
import type { Contents } from '../own/provisioning.ts'
import { standingOf, type WitnessParts } from '../witness/failing.ts'
import { baselineMs } from '../witness/wards.ts'
import { encodeContents, partsOf } from './contents.ts'
import { isDelivery } from './taking.ts'

export interface Delivery {
  readonly to: HostId
  /** Signed by operators. */
  readonly statement: Uint8Array
  readonly contents: Contents
  readonly timeoutMs: number
  /** How far away it may be; by the plan unless given. */
  readonly roundTripMs?: number | undefined
  readonly signal: AbortSignal
  readonly say: (text: string) => void
}

export type Deliver = (delivery: Delivery) => Promise<number>

/** Between two attempts, and between two looks at a host that is being provisioned. */
const AGAIN_MS = 2000

/** @throws RecoveryError `STATEMENT`, `NOT_NOW`, `USAGE`; `DELIVERY` when the host is given nothing, or takes nothing, or not in time. */
export async function deliver(parts: WitnessParts, delivery: Delivery): Promise<number> {
  const { ground } = parts
  const { to, signal, timeoutMs } = delivery
  const { digest } = permitted(ground, delivery)
  using content = encodeContents(delivery.contents)
  const all = partsOf(content)
  const deadlineMs = performance.now() + timeoutMs
  // It shall have attested itself now, and this host too.
  ground.network.renew()
  let next = 0
  let why = 'it did not answer'
  while (performance.now() < deadlineMs) {
    signal.throwIfAborted()
    const part = Math.min(next, all.length - 1)
    const said = await sayPart(parts, delivery, { part, parts: all.length, bytes: all[part] })
    if (said.kind === 'delivered') {
      await ground.audit({ kind: 'delivery', by: ground.host, to, statement: digest })
      ground.report('delivered', { to, epoch: said.epoch })
      return said.epoch
    }
    if (said.kind === 'delivering') {
      why = 'it waits for its witnesses'
      next = said.next
      if (next < all.length) continue
    } else why = said.why
    delivery.say(`${to}: ${why}`)
    await sleepMs(AGAIN_MS, undefined, { signal })
  }
  throw refusal(
    to,
    `not within ${Math.round(timeoutMs / 1000)} s: ${why}`,
    'say the same again: it goes on where it was',
  )
}

type Outcome =
  | (Answer & { readonly kind: 'delivered' | 'delivering' })
  | { readonly kind: 'silent'; readonly why: string }

async function sayPart(
  parts: WitnessParts,
  { to, statement, roundTripMs }: Delivery,
  piece: { readonly part: number; readonly parts: number; readonly bytes: Uint8Array },
): Promise<Outcome> {
  const { ground } = parts
  const opened = await ground.network.reach(to)
  if (opened.kind === 'unattested')
    throw refusal(to, `what answers there is not this host: ${opened.why}`, 'look at the host, its plan and its boot')
  if (opened.kind === 'unreachable') return { kind: 'silent', why: opened.why }
  const { channel } = opened
  checkTaker(parts, channel.peer, roundTripMs)
  let answer: Answer
  try {
    answer = await channel.say({ kind: 'deliver', statement, ...piece }, ground.times.answerMs)
  } catch (error) {
    return { kind: 'silent', why: messageOf(error) }
  }
  if (answer.kind === 'delivering' || answer.kind === 'delivered') return answer
  throw refusal(
    to,
    answer.kind === 'failed' ? `it says: ${answer.text}` : `it answered ${answer.kind}`,
    'nothing was changed there',
  )
}

/** Who is given something attested itself in an approved boot, stands in the plan, and stands where it should. */
function checkTaker(parts: WitnessParts, peer: Attested, roundTripMs: number | undefined): void {
  const { memory, ground } = parts
  const barred = standingOf(parts, peer)
  if (barred?.kind === 'failed')
    throw refusal(peer.host, barred.text, 'nothing was said to it. Boot what is approved, or have this boot approved')
  const bound = baselineMs(memory.wards.get(peer.host)) + ground.fleet().plan.policy.roundTripMarginMs
  const far = roundTripRefusal(peer.roundTripMs, roundTripMs ?? bound)
  if (far === undefined) return
  const { fact } = describeRefusal(far)
  throw refusal(peer.host, fact, 'nothing was said to it. If it stands that far away, say so: --round-trip 50ms')
}

function permitted(ground: Ground, { to, statement }: Delivery): SignedStatement {
  const signed = readStatement(statement, ground.fleet().plan)
  const { statement: said } = signed
  if (ground.fleet().plan.mode === 'tpm-only')
    throw new RecoveryError('NOT_NOW', { message: 'Hosts of mode tpm-only have no network to deliver over.' })
  if (isDelivery(said) && said.host === to && said.by === ground.host) return signed
  throw new RecoveryError('STATEMENT', {
    message: isDelivery(said)
      ? `This statement permits ${said.by} to deliver to ${said.host}, and not ${ground.host} to ${to}.`
      : `This statement is a ${said.kind} of ${said.host}, and permits nothing.`,
    hint: `have operators permit it: reprise recovery permit ${to} --by ${ground.host} --plan FILE --key KEY -o FILE`,
  })
}

function refusal(to: HostId, why: string, hint: string): RecoveryError {
  return new RecoveryError('DELIVERY', { message: `${to} has not taken what was to be delivered: ${why}.`, hint })
}
