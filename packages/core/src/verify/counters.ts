/** What the counters of a record's hosts say, in its order. Rules: spec/power-cycles.md §3, §5. */
import type { Wrong } from './order.ts'
import type { HostCount } from './power.ts'
import { isSameCycle } from './power.ts'
import type { BootFacts, CounterFacts, StatementFacts } from './statements.ts'

interface Counted {
  /** TPMS_NV_PUBLIC, hex. */
  readonly index: string
  /** At the begin of the host's first attempt; before that, at the boot: what was counted in between is not of this run. */
  from: bigint
  hasBegun: boolean
  /** The boot statement before, to the byte. */
  statement: string | undefined
  boot: BootFacts | undefined
  to: bigint
  /** Increments between them that the record itself shows. */
  shown: bigint
}

export interface CountsToCheck extends StatementFacts {
  /** The boot statement as it stands. */
  readonly statement: string | undefined
  /** The attestation is the first one of its attempt. */
  readonly begins: boolean
}

export class HostCounters {
  readonly #hosts = new Map<number, Counted>()

  list(): HostCount[] {
    return [...this.#hosts]
      .map(([host, { from, to, shown }]) => ({ host, from: `${from}`, to: `${to}`, others: `${to - from - shown}` }))
      .sort((a, b) => a.host - b.host)
  }

  check(host: number, { boot, statement, counter, begins }: CountsToCheck): Wrong[] {
    const found: Wrong[] = []
    const known = this.#hosts.get(host)
    // The signer makes one for all runs of a power cycle, so the same one says nothing new.
    if (boot !== undefined && (known === undefined || statement !== known.statement)) {
      const isNewCycle = known?.boot === undefined || !isSameCycle(known.boot.clock, boot.clock)
      found.push(...this.#count(host, boot.counter, { isIncrement: isNewCycle, what: 'a boot' }))
      const counted = this.#hosts.get(host)
      if (counted !== undefined) Object.assign(counted, { boot, statement })
    }
    if (counter !== undefined)
      found.push(
        ...this.#count(host, counter, { isIncrement: begins, what: `the attempt's ${begins ? 'begin' : 'end'}` }),
      )
    const counted = this.#hosts.get(host)
    if (counted !== undefined && counter !== undefined && begins && !counted.hasBegun)
      Object.assign(counted, { from: counted.to, shown: 0n, hasBegun: true })
    return found
  }

  #count(
    host: number,
    { index, value }: CounterFacts,
    { isIncrement, what }: { readonly isIncrement: boolean; readonly what: string },
  ): Wrong[] {
    const known = this.#hosts.get(host)
    if (known === undefined) {
      const nothing = { statement: undefined, boot: undefined, shown: 0n, hasBegun: false }
      this.#hosts.set(host, { index, from: value, to: value, ...nothing })
      return []
    }
    if (known.index !== index)
      return [{ code: 'COUNTER_INDEX', message: `${what} is counted by another counter than before` }]
    const least = isIncrement ? known.to + 1n : known.to
    if (value < least)
      return [
        {
          code: 'COUNTER_BACK',
          message: `${what} is counted ${value}, and at least ${least} was to come after ${known.to}`,
        },
      ]
    known.to = value
    if (isIncrement) known.shown += 1n
    return []
  }
}
