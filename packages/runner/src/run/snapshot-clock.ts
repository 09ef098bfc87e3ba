/** When a snapshot is due: often enough to lose little, rarely enough to cost little. */

const INTERVAL_MS_MIN = 10_000
const INTERVAL_MS_MAX = 60_000
/** Snapshots take at most a hundredth of the time. */
const COST_FACTOR = 100

export class SnapshotClock {
  readonly #fixedMs: number | null | undefined
  #intervalMs = INTERVAL_MS_MIN
  #lastMs = performance.now()
  #spentMs = 0

  /** @param fixedMs - Absent: by what they cost; null: never. */
  constructor(fixedMs: number | null | undefined) {
    this.#fixedMs = fixedMs
  }

  isDue(): boolean {
    if (this.#fixedMs === null) return false
    if (performance.now() - this.#lastMs < (this.#fixedMs ?? this.#intervalMs)) return false
    this.#lastMs = performance.now()
    return true
  }

  /** @param spentMs - What snapshots have cost the machine so far, in all. */
  taken(spentMs: number): void {
    const costMs = spentMs - this.#spentMs
    this.#spentMs = spentMs
    this.#intervalMs = Math.min(INTERVAL_MS_MAX, Math.max(INTERVAL_MS_MIN, COST_FACTOR * costMs))
  }
}
