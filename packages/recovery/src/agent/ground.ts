/** What all parts of an agent stand on. */

import type { HostTpm } from '../channel/channel.ts'
import type { AuditEvent, AuditPlace } from '../audit/index.ts'
import type { PinnedTpm } from '../sealing/storage.ts'
import type { HostId } from '../types.ts'
import type { FleetView } from './fleet-view.ts'
import type { Network } from './network.ts'
import type { StatePaths } from './state/folder.ts'

/** One line of what the agent does, for people and for logs; never a secret. */
export type Report = (event: string, data?: Readonly<Record<string, string | number | boolean | null>>) => void

export interface AgentTimes {
  readonly heartbeatMs: number
  /** How long a peer that is only looked at is waited for. */
  readonly observeMs: number
  /** How long a witness may take for a share, or for anything else that it writes first. */
  readonly answerMs: number
}

export interface Ground {
  readonly host: HostId
  readonly paths: StatePaths
  readonly pinned: PinnedTpm
  readonly hostTpm: HostTpm
  readonly network: Network
  /** By the newest plan. */
  readonly fleet: () => FleetView
  readonly times: AgentTimes
  /** Wall clock, milliseconds since 1970. */
  readonly nowMs: () => number
  readonly random: (lengthBytes: number) => Uint8Array
  readonly report: Report
  readonly audit: (event: AuditEvent) => Promise<AuditPlace>
  /** Something that a person should look at. */
  readonly alarm: (text: string) => void
}

/** One thing after the other, whatever becomes of it. */
export function inOrder(): <T>(work: () => Promise<T>) => Promise<T> {
  let turn: Promise<unknown> = Promise.resolve()
  return (work) => {
    const done = turn.then(work)
    turn = done.catch(() => undefined)
    return done
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
