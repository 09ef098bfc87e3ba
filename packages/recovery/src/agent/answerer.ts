/** What an agent answers to other hosts: each message by the part that it is for. */

import type { Answerer } from '../channel/channel.ts'
import type { Answer } from '../channel/messages.ts'
import { FAILED_TEXT_BYTES_MAX, toLine } from '../channel/message-codec.ts'
import type { Taking } from './delivery/taking.ts'
import { messageOf } from './ground.ts'
import { type HostReport, hostStatus } from './host-report.ts'
import type { News } from './news.ts'
import type { Spreading } from './spreading.ts'
import { answerLoaded } from './witness/loaded.ts'
import { failed, type WitnessParts } from './witness/failing.ts'
import type { Witness } from './witness/witness.ts'

export interface AnswererParts {
  readonly witness: Witness
  readonly taking: Taking
  readonly witnessParts: WitnessParts
  readonly news: News
  readonly spreading: Spreading
  readonly stand: () => HostReport
  readonly auditHead: () => Uint8Array
  readonly planVersion: () => number
}

export function makeAnswerer(parts: AnswererParts): Answerer {
  const { witness, news, spreading, stand } = parts
  return async (from, message) => {
    spreading.saw(from.host, from.planVersion)
    switch (message.kind) {
      case 'observe':
      case 'ask':
      case 'heartbeat':
      case 'prepare':
      case 'commit':
      case 'vouch':
        return await witness.answer(from, message)
      case 'approvals':
        return { kind: 'approvals', ...spreading.compare(from.host, message) }
      case 'plan':
        return await taking('PLAN', () => news.takePlan(message.signed, from.host))
      case 'statement':
        return await taking('STATEMENT', async () => {
          await news.hear(message.signed, from.host)
          return parts.planVersion()
        })
      case 'status':
        return { kind: 'status', status: hostStatus(stand(), parts.auditHead()) }
      case 'loaded':
        return await answerLoaded(parts.witnessParts, from, message)
      case 'deliver':
        return await parts.taking.answer(from, message)
    }
  }
}

async function taking(code: 'PLAN' | 'STATEMENT', work: () => Promise<number>): Promise<Answer> {
  try {
    return { kind: 'taken', planVersion: await work() }
  } catch (error) {
    return failed(code, toLine(messageOf(error), FAILED_TEXT_BYTES_MAX))
  }
}
