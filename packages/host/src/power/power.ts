/** The power cycles of a host's TPM: what it says of the one it is in, and what was counted. Format: spec/power-cycles.md. */

import {
  bootDigest,
  countDigest,
  decodeTpmsAttest,
  fromHex,
  type BootStatement,
  type Count,
  type CounterStatement,
} from '@reprise/core'
import { isSessionGone, type ObjectEntity, ReadClock, type Tpm } from '@reprise/tpm'
import { HostError } from '../error.ts'
import { sha256 } from '../hashing.ts'
import type { TpmClock, TpmCounts } from '../signer/protocol.ts'
import type { Counter } from './counter.ts'
import { checkNotOlder, type KnownPower, readKnown, writeKnown } from './known.ts'
import { quoteStartup } from './startup.ts'

/** A boot statement, and the power cycle that it is about. */
export interface SignedBoot extends TpmCounts {
  readonly statement: BootStatement
}

/** What happens in order when the TPM counts; tests crash after each. */
export type PowerStep = 'checked' | 'counted' | 'tpm synced' | 'noted'

export interface PowerOptions {
  readonly tpm: Tpm
  readonly ak: ObjectEntity
  readonly counter: Counter
  readonly hostId: Uint8Array
  readonly bootId: string | null
  /** Of the note. */
  readonly path: string
  /** What the TPM is, for messages. */
  readonly where: string
  /** Makes what the TPM has acknowledged outlast a loss of power. */
  readonly persist: () => Promise<void>
  readonly afterStep?: (step: PowerStep) => void | Promise<void>
}

/** How often a power cycle may end while its statement is made. */
const ATTEMPTS_MAX = 5

export class Power {
  readonly #options: PowerOptions
  #known: KnownPower
  #boot: SignedBoot | undefined

  private constructor(options: PowerOptions, known: KnownPower) {
    this.#options = options
    this.#known = known
  }

  /**
   * Compares the TPM with what was last seen of it, and has it say how it was started.
   *
   * @throws {@link HostError} `TPM_ROLLED_BACK`, `IDENTITY_DAMAGED`, `TPM_LOCKED`.
   */
  static async open(options: PowerOptions): Promise<Power> {
    const power = new Power(options, await readKnown(options.path))
    await power.boot()
    return power
  }

  /** The statement about the power cycle that the TPM is in now; made once in each. */
  async boot(): Promise<SignedBoot> {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const clock = await this.#clock()
      if (this.#boot !== undefined && isSameCycle(this.#boot, clock)) return this.#boot
      await this.#look(clock)
      try {
        this.#boot = await this.#state()
      } catch (error) {
        // The TPM was reset meanwhile, or a resource manager took the session away.
        if (!isSessionGone(error)) throw error
      }
    }
    throw new HostError('TPM_FAILED', {
      message: `The TPM was reset during each of ${ATTEMPTS_MAX} statements about it.`,
    })
  }

  /** Certifies the counter for an attempt; its begin is counted. */
  async count(count: Count): Promise<CounterStatement> {
    if (count.purpose === 'begin') await this.#increment()
    const { counter, ak, hostId } = this.#options
    return await counter.certify(ak, countDigest({ ...count, hostId }, sha256))
  }

  /** Notes how far the clock is: to be called before the TPM is left. */
  async leave(): Promise<void> {
    await this.#note({ ...this.#known, ...(await this.#clock()) })
  }

  async #clock(): Promise<TpmClock> {
    const { clock, resetCount, restartCount } = (await this.#options.tpm.execute(ReadClock())).currentTime.clockInfo
    return { clock, resetCount, restartCount }
  }

  /** Compares, and counts a power cycle that is new. */
  async #look(clock: TpmClock): Promise<void> {
    const now = { ...clock, counter: await this.#options.counter.read() }
    checkNotOlder(this.#known, now, this.#options.where)
    const isNew = !isSameCycle(this.#known, now)
    await this.#options.afterStep?.('checked')
    this.#known = now
    if (isNew) await this.#increment()
    else await this.#note(now)
  }

  async #increment(): Promise<void> {
    const { counter, persist, afterStep } = this.#options
    await counter.increment()
    await afterStep?.('counted')
    await persist()
    await afterStep?.('tpm synced')
    const expected = this.#known.counter + 1n
    const now = { ...(await this.#clock()), counter: await counter.read() }
    checkNotOlder({ ...this.#known, counter: expected }, now, this.#options.where)
    await this.#note(now)
  }

  async #note(known: KnownPower): Promise<void> {
    await writeKnown(this.#options.path, known)
    this.#known = known
    await this.#options.afterStep?.('noted')
  }

  async #state(): Promise<SignedBoot> {
    const { tpm, ak, counter, hostId, bootId } = this.#options
    const qualifyingData = bootDigest({ hostId, bootId }, sha256)
    const startup = await quoteStartup(tpm, ak, qualifyingData)
    const { resetCount, restartCount } = decodeTpmsAttest(fromHex(startup.attest)).clockInfo
    const statement = { bootId, counter: await counter.certify(ak, qualifyingData), startup }
    return { resetCount, restartCount, statement }
  }
}

function isSameCycle(a: TpmCounts, b: TpmCounts): boolean {
  return a.resetCount === b.resetCount && a.restartCount === b.restartCount
}
