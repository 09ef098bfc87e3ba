/** The virtual clock. Format: spec/wasi-host.md §6. */
import { CLOCK_REALTIME, CLOCKS, Errno, refuse } from './abi.ts'

/** What a clock's reading costs, and its resolution. */
export const CLOCK_TICK_NS = 1000n

/** About what a processor does in one, so that durations look like durations (spec/wasi-host.md §6.1). */
const UNITS_PER_NS = 16n

const U64_MAX = 2n ** 64n - 1n

export class VirtualClock {
  readonly #startNs: bigint
  readonly #position: () => bigint
  reads = 0n
  sleptNs = 0n

  constructor(startNs: bigint, position: () => bigint) {
    this.#startNs = startNs
    this.#position = position
  }

  /** Nanoseconds since the start. */
  elapsed(): bigint {
    return BigInt.asUintN(64, this.#position() / UNITS_PER_NS + CLOCK_TICK_NS * this.reads + this.sleptNs)
  }

  /** Nanoseconds since 1970. Looking does not move the clock. */
  realtime(): bigint {
    return BigInt.asUintN(64, this.#startNs + this.elapsed())
  }

  /** What a clock shows. @throws Refusal INVAL for a clock that is none. */
  show(clock: number): bigint {
    if (clock >= CLOCKS) refuse(Errno.INVAL)
    return clock === CLOCK_REALTIME ? this.realtime() : this.elapsed()
  }

  /** A guest's reading, which moves the clock first: whoever waits for time to pass by looking at it will see it pass. */
  read(clock: number): bigint {
    if (clock >= CLOCKS) refuse(Errno.INVAL)
    this.reads++
    return this.show(clock)
  }

  /** How long until a clock shows `timeout`, or until `timeout` has passed; 0 when it is over. */
  until(clock: number, timeout: bigint, absolute: boolean): bigint {
    const shows = this.show(clock)
    if (!absolute) return timeout
    return timeout > shows ? timeout - shows : 0n
  }

  /** Time passes at once. It never passes the end of 64 bits. */
  sleep(durationNs: bigint): void {
    const left = U64_MAX - this.elapsed()
    this.sleptNs += durationNs < left ? durationNs : left
  }
}
