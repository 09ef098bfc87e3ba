/** The order of a run's attestations, and how its attempts join. Format: spec/record.md §6. */
import type { Attempt, Attestation } from '../record/index.ts'
import type { TpmsClockInfo } from '../tpm/index.ts'

/** An attempt that began where the TPM does not show that its host went on from the attempt before. */
export interface AttemptGap {
  readonly attempt: number
  readonly why: string
}

export class AttestationOrder {
  readonly #attempts: readonly Attempt[]
  readonly gaps: AttemptGap[] = []
  /** The attestation before, when it could be read. */
  #before: { readonly host: number; readonly clock: TpmsClockInfo } | undefined
  /** By host: what its TPM said last. */
  readonly #clocks = new Map<number, { readonly attempt: number; readonly clock: TpmsClockInfo }>()
  #attempt = 0
  /** Of the attestation before. */
  #seq = -1
  /** The last checkpoint that any attestation covers. */
  signedSeq = -1

  constructor(attempts: readonly Attempt[]) {
    this.#attempts = attempts
  }

  /** @returns What is wrong, nothing when all is well. */
  check({ attempt, seq }: Attestation, clock: TpmsClockInfo | undefined): string[] {
    const wrong: string[] = []
    const known = this.#attempts[attempt - 1]
    if (known === undefined) return [`attempt ${attempt} is not in the record`]
    if (attempt < this.#attempt) wrong.push(`attempt ${attempt} after attempt ${this.#attempt}`)
    if (attempt > this.#attempt) {
      if (attempt !== this.#attempt + 1) wrong.push(`nothing is signed of attempt ${this.#attempt + 1}`)
      if (known.from !== null && known.from > this.signedSeq)
        wrong.push(
          `attempt ${attempt} goes on from checkpoint ${known.from}, and only those up to ${this.signedSeq} were signed before`,
        )
      if (clock !== undefined) this.#findGap(known, clock)
    }
    if (seq < known.firstSeq) wrong.push(`checkpoint ${seq} is before the first one of attempt ${attempt}`)
    if (attempt <= this.#attempt && seq <= this.#seq) wrong.push(`checkpoint ${seq} after checkpoint ${this.#seq}`)
    if (clock !== undefined) wrong.push(...this.#checkClock(known, clock))
    this.#attempt = attempt
    this.#seq = seq
    this.signedSeq = Math.max(this.signedSeq, seq)
    this.#before = clock === undefined ? undefined : { host: known.host, clock }
    return wrong
  }

  /** An attempt of which nothing is signed could say anything. */
  end(): string[] {
    if (this.#attempt === 0 || this.#attempt === this.#attempts.length) return []
    return [`nothing is signed of attempt ${this.#attempts.length}`]
  }

  #findGap({ attempt, host }: Attempt, clock: TpmsClockInfo): void {
    const before = this.#before
    if (before === undefined) return
    const isSameStart = clock.resetCount === before.clock.resetCount && clock.restartCount === before.clock.restartCount
    if (before.host !== host) this.gaps.push({ attempt, why: 'on another host' })
    else if (!isSameStart) this.gaps.push({ attempt, why: 'after its TPM was reset or restarted' })
  }

  #checkClock({ attempt, host }: Attempt, clock: TpmsClockInfo): string[] {
    const before = this.#clocks.get(host)
    this.#clocks.set(host, { attempt, clock })
    if (before === undefined) return []
    const { resetCount, restartCount } = before.clock
    const isSameStart = clock.resetCount === resetCount && clock.restartCount === restartCount
    if (isSameStart) return clock.clock < before.clock.clock ? ['the clock of the TPM went back'] : []
    if (attempt === before.attempt) return ['the TPM was reset or restarted within the attempt']
    const isLater =
      clock.resetCount > resetCount || (clock.resetCount === resetCount && clock.restartCount > restartCount)
    return isLater ? [] : ['the reset counters of the TPM went back']
  }
}
