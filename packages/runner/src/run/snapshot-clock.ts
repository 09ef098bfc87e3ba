/** When a snapshot is due: often enough to lose little, rarely enough to cost little. */

const INTERVAL_MS_MIN = 10_000
const INTERVAL_MS_MAX = 60_000
/** Snapshots take at most a hundredth of the time. */
const COST_FACTOR = 100
/**
 * A record holds about as many as 16 MiB of lines name; a run has no end. So the time between two doubles after each such
 * number of them: at 10 s the first doubling comes after 11 hours, and the last one that fits after 85 years.
 */
const DOUBLES_AFTER = 4096
const SNAPSHOTS_MAX = 16 * DOUBLES_AFTER
/** Of an interval that has none to be doubled. */
const DOUBLED_MS_MIN = 1

export class SnapshotClock {
  readonly #fixedMs: number | null | undefined
  readonly #nowMs: () => number
  #intervalMs = INTERVAL_MS_MIN
  #lastMs: number
  #spentMs = 0
  /** Until it is written nothing more is due: a slow disk makes them rarer, not the memory full of them. */
  #isBeingWritten = false
  #count: number

  /**
   * @param fixedMs - Absent: by what they cost; null: never.
   * @param before - How many earlier attempts have taken.
   * @param nowMs - Milliseconds that only go forward.
   */
  constructor(fixedMs: number | null | undefined, before = 0, nowMs: () => number = () => performance.now()) {
    this.#count = before
    this.#fixedMs = fixedMs
    this.#nowMs = nowMs
    this.#lastMs = nowMs()
  }

  /** True at most once until {@link taken} is called. */
  isDue(): boolean {
    if (this.#fixedMs === null || this.#isBeingWritten || this.#count >= SNAPSHOTS_MAX) return false
    const nowMs = this.#nowMs()
    if (nowMs - this.#lastMs < this.#stretched(this.#fixedMs ?? this.#intervalMs)) return false
    this.#lastMs = nowMs
    this.#isBeingWritten = true
    this.#count += 1
    return true
  }

  #stretched(intervalMs: number): number {
    const doublings = Math.floor(this.#count / DOUBLES_AFTER)
    return doublings === 0 ? intervalMs : Math.max(DOUBLED_MS_MIN, intervalMs) * 2 ** doublings
  }

  /** @param spentMs - What snapshots have cost the machine so far, in all. */
  taken(spentMs: number): void {
    this.#isBeingWritten = false
    const costMs = spentMs - this.#spentMs
    this.#spentMs = spentMs
    this.#intervalMs = Math.min(INTERVAL_MS_MAX, Math.max(INTERVAL_MS_MIN, COST_FACTOR * costMs))
  }
}
