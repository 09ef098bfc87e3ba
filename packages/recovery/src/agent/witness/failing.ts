/** Answers that give nothing, and the parts that all of a witness stands on. */

import type { Attested } from '../../channel/channel.ts'
import type { Answer, FailedCode } from '../../channel/messages.ts'
import type { Quote } from '../../quote.ts'
import type { Clocks } from '../../protocol/witness.ts'
import type { HostId } from '../../types.ts'
import { type Ground, messageOf } from '../ground.ts'
import type { Ward } from '../state/witness-file.ts'
import { clockNow } from '../tpm/boot-facts.ts'
import type { Memory } from './memory.ts'
import { newWard } from './wards.ts'

export interface WitnessParts {
  readonly ground: Ground
  readonly memory: Memory
  /** A peer turned out to have an older plan than this host. */
  readonly onOldPlan: (peer: HostId) => void
  readonly onPlanVersion: (peer: HostId, version: number) => void
}

export function failed(code: FailedCode, text: string): Answer {
  return { kind: 'failed', code, text }
}

/** An error as an answer; the log has it whole. */
export function failedBy(ground: Ground, what: string, error: unknown): Answer {
  ground.report('failed', { what, why: messageOf(error) })
  return failed('NOT_NOW', `${what} failed here`)
}

export async function ownClocks({ ground, memory }: Pick<WitnessParts, 'ground' | 'memory'>): Promise<Clocks> {
  const { clock } = await clockNow(ground.pinned)
  return memory.clocks(Number(clock), ground.nowMs())
}

/** Why a host may hand out nothing and renew nothing; undefined when it may. */
export function standingOf({ ground, memory }: WitnessParts, from: Attested): Answer | undefined {
  if (from.boot === undefined) return failed('PROOF', 'its registers are those of no approved boot')
  if (memory.state.durable.revoked.has(from.host)) return failed('NOT_FOR_YOU', 'it was revoked')
  if (ground.fleet().view(from.host)?.isActive !== true) return failed('NOT_FOR_YOU', 'it is not active in the roster')
  return undefined
}

/** The ward's line, or a new one. */
export function wardOf({ ground, memory }: WitnessParts, host: HostId): Ward {
  return memory.wards.get(host) ?? newWard(host, ground.fleet().hostNamed(host)?.ak ?? '')
}

/** A quote of this host over the cap register, which tells whether it was released. */
export async function quoteOwn(
  { hostTpm, fleet }: Pick<Ground, 'hostTpm' | 'fleet'>,
  statement: Uint8Array,
): Promise<Quote> {
  const { attest, signature } = await hostTpm.quote(statement, [fleet().plan.cap.pcr])
  return { attest, signature }
}
