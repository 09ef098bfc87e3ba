/** When a snapshot is due: often enough to lose little, rarely enough to cost little. */

const INTERVAL_MS_MIN = 10_000
const INTERVAL_MS_MAX = 60_000
/** Snapshots take at most a hundredth of the time. */
const COST_FACTOR = 100

export class SnapshotClock {
  readonly #fixedMs: number | null | undefined
  readonly #nowMs: () => number
  #intervalMs = INTERVAL_MS_MIN
  #lastMs: number
  #spentMs = 0
  /** Until it is written nothing more is due: a slow disk makes them rarer, not the memory full of them. */
  #isBeingWritten = false

  /**
   * @param fixedMs - Absent: by what they cost; null: never.
   * @param nowMs - Milliseconds that only go forward.
   */
  constructor(fixedMs: number | null | undefined, nowMs: () => number = () => performance.now()) {
    this.#fixedMs = fixedMs
    this.#nowMs = nowMs
    this.#lastMs = nowMs()
  }

  /** True at most once until {@link taken} is called. */
  isDue(): boolean {
    if (this.#fixedMs === null || this.#isBeingWritten) return false
    const nowMs = this.#nowMs()
    if (nowMs - this.#lastMs < (this.#fixedMs ?? this.#intervalMs)) return false
    this.#lastMs = nowMs
    this.#isBeingWritten = true
    return true
  }

  /** @param spentMs - What snapshots have cost the machine so far, in all. */
  taken(spentMs: number): void {
    this.#isBeingWritten = false
    const costMs = spentMs - this.#spentMs
    this.#spentMs = spentMs
    this.#intervalMs = Math.min(INTERVAL_MS_MAX, Math.max(INTERVAL_MS_MIN, COST_FACTOR * costMs))
  }
}
