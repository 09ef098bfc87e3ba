/** Heartbeats, one after the other, and what each of them shows. Rules: spec/agent.md §7, §8. */

import type { AuditPlace } from '../../audit/index.ts'
import { generationBasis } from '../fleet-view.ts'
import { messageOf } from '../ground.ts'
import type { Spreading } from '../spreading.ts'
import { type Beat, beat } from './heartbeats.ts'
import type { OpeningParts } from './opening.ts'

export interface Pulse {
  readonly last: Beat | undefined
  /** Gives a heartbeat now, and then at every interval. @param isRotating - This one is followed by a rotation. */
  readonly go: (isRotating: boolean) => void
  /** Waits for the heartbeat that is under way. */
  readonly stop: () => Promise<void>
}

export interface PulseParts extends OpeningParts {
  readonly spreading: Spreading
  readonly auditPlace: () => AuditPlace
  readonly onChange: () => void
  /** New halves are wanted. */
  readonly rotate: () => void
}

/** A heartbeat that too few witnesses signed is tried again after so long, or an interval, if that is shorter. */
const RETRY_MS = 30_000
/** A witness that keeps no share makes for a rotation at most every so many heartbeats: lease indices wear. */
const LAGGING_BEATS = 6

export function makePulse(parts: PulseParts): Pulse {
  const { ground, memory, spreading, onChange, rotate } = parts
  let last: Beat | undefined
  let beats = 0
  let laggedAt = -LAGGING_BEATS
  let timer: NodeJS.Timeout | undefined
  let isStopped = false
  let beating: Promise<unknown> = Promise.resolve()

  async function once(isRotating: boolean): Promise<void> {
    last = await beat(parts, memory, parts.auditPlace)
    beats += 1
    onChange()
    const isLagging = last.lagging.length > 0 && beats - laggedAt >= LAGGING_BEATS
    if (isLagging) laggedAt = beats
    // Made for other witnesses or operators, or opened since it was made.
    const isOld = memory.now.basis !== generationBasis(ground.fleet())
    if (isRotating || isLagging || isOld) rotate()
    for (const witness of last.signed) await spreading.tell(witness)
  }

  function go(isRotating: boolean): void {
    clearTimeout(timer)
    if (isStopped) return
    const now = once(isRotating).catch((error: unknown) =>
      ground.report('failed', { what: 'heartbeat', why: messageOf(error) }),
    )
    beating = now
    void now.then(() => {
      // A later one sets the time for the next.
      if (isStopped || beating !== now) return
      const { heartbeatMs } = ground.times
      // Spread out, so that a fleet that came back together does not go on together.
      const regularMs = heartbeatMs * (0.95 + 0.1 * (ground.random(1)[0] / 255))
      timer = setTimeout(() => go(false), last?.isEnough === true ? regularMs : Math.min(RETRY_MS, heartbeatMs))
    })
  }

  return {
    get last() {
      return last
    },
    go,
    async stop() {
      isStopped = true
      clearTimeout(timer)
      await beating
    },
  }
}
