/** The order of a run's attestations, and how its attempts join. Format: spec/record.md §6, spec/power-cycles.md §5. */
import { canonical } from '../canon/index.ts'
import type { Attempt, Attestation } from '../record/index.ts'
import type { TpmsClockInfo } from '../tpm/index.ts'
import { HostCounters } from './counters.ts'
import type { FindingCode } from './findings.ts'
import {
  isClockBack,
  isLaterCycle,
  isSameCycle,
  isWhollyTold,
  stepsBetween,
  type HostCount,
  type PlaceInRun,
  type PowerChange,
} from './power.ts'
import type { BootFacts, StatementFacts } from './statements.ts'

/** An attempt that went on where nothing shows what was done to its host before. */
export interface AttemptGap {
  readonly attempt: number
  readonly message: string
}

/** What a host's TPM said last, and where. */
interface HostState extends PlaceInRun {
  readonly clock: TpmsClockInfo
}

export interface Wrong {
  readonly code: FindingCode
  readonly message: string
}

const HOW_BEFORE = 'and nothing shows how the attempt before ended'

export class AttestationOrder {
  readonly #attempts: readonly Attempt[]
  readonly gaps: AttemptGap[] = []
  /** In the order of the record. */
  readonly changes: PowerChange[] = []
  /** The host of the attestation before, when that could be read. */
  #hostBefore: number | undefined
  readonly #hosts = new Map<number, HostState>()
  readonly #counters = new HostCounters()
  /** Of the attestation before; 0 at first. */
  attempt = 0
  /** Of the attestation before. */
  #seq = -1
  /** The last checkpoint that any attestation covers. */
  signedSeq = -1

  constructor(attempts: readonly Attempt[]) {
    this.#attempts = attempts
  }

  get counts(): readonly HostCount[] {
    return this.#counters.list()
  }

  /** @returns What is wrong, nothing when all is well. */
  check(attestation: Attestation, clock: TpmsClockInfo | undefined, statements: StatementFacts): Wrong[] {
    const { attempt, seq } = attestation
    const wrong: string[] = []
    const known = this.#attempts[attempt - 1]
    if (known === undefined) return inOrder([`attempt ${attempt} is not in the record`])
    if (attempt < this.attempt) wrong.push(`attempt ${attempt} after attempt ${this.attempt}`)
    if (attempt > this.attempt) {
      if (attempt !== this.attempt + 1) wrong.push(`nothing is signed of attempt ${this.attempt + 1}`)
      if (known.from !== null && known.from > this.signedSeq)
        wrong.push(
          `attempt ${attempt} goes on from checkpoint ${known.from}, and only those up to ${this.signedSeq} were signed before`,
        )
    }
    if (seq < known.firstSeq) wrong.push(`checkpoint ${seq} is before the first one of attempt ${attempt}`)
    if (attempt <= this.attempt && seq <= this.#seq) wrong.push(`checkpoint ${seq} after checkpoint ${this.#seq}`)
    const begins = attempt !== this.attempt
    this.attempt = attempt
    this.#seq = seq
    this.signedSeq = Math.max(this.signedSeq, seq)
    const found = inOrder(wrong)
    if (clock !== undefined)
      found.push(...this.#checkHost(known, { attempt, seq, clock }, { statements, begins, attestation }))
    this.#hostBefore = clock === undefined ? undefined : known.host
    return found
  }

  /** An attempt of which nothing is signed could say anything. */
  end(): string[] {
    if (this.attempt === 0 || this.attempt === this.#attempts.length) return []
    return [`nothing is signed of attempt ${this.#attempts.length}`]
  }

  #checkHost(
    { host }: Attempt,
    now: HostState,
    told: { readonly statements: StatementFacts; readonly begins: boolean; readonly attestation: Attestation },
  ): Wrong[] {
    const { statements, begins, attestation } = told
    const { counter } = statements
    const boot = statements.boot && isSameCycle(statements.boot.clock, now.clock) ? statements.boot : undefined
    const before = this.#hosts.get(host)
    this.#hosts.set(host, now)
    if (begins && this.#hostBefore !== undefined && this.#hostBefore !== host)
      this.gaps.push({ attempt: now.attempt, message: `attempt ${now.attempt} began on another host, ${HOW_BEFORE}` })
    const found = cycleOf(statements, now.clock, before?.clock)
    if (before !== undefined) found.push(...this.#checkChange(host, { before, now, boot }))
    const statement = attestation.boot === undefined ? undefined : canonical(attestation.boot)
    found.push(...this.#counters.check(host, { boot, statement, counter, begins }))
    return found
  }

  #checkChange(
    host: number,
    {
      before,
      now,
      boot,
    }: { readonly before: HostState; readonly now: HostState; readonly boot: BootFacts | undefined },
  ): Wrong[] {
    const { clock } = now
    // A gap to another host is told already.
    const follows = this.#hostBefore === host
    const sameKernel = this.#sameKernel(before, now, boot)
    if (isSameCycle(before.clock, clock)) {
      if (follows && sameKernel === false)
        this.#gap(now, `began under another kernel, while its TPM was not reset, ${HOW_BEFORE}`)
      return clock.clock < before.clock.clock ? inOrder(['the clock of the TPM went back']) : []
    }
    const isLater = isLaterCycle(before.clock, clock)
    if (boot === undefined || !isLater) {
      if (now.attempt === before.attempt) return inOrder(['the TPM was reset or restarted within the attempt'])
      if (follows) this.#gap(now, `began after its TPM was reset or restarted, ${HOW_BEFORE}`)
      return isLater ? [] : inOrder(['the reset counters of the TPM went back'])
    }
    const steps = stepsBetween(before.clock, clock)
    const change = { host, from: place(before), to: place(now), ...steps, orderly: boot.orderly, sameKernel }
    this.changes.push(change)
    if (follows && !isWhollyTold(steps))
      this.#gap(
        now,
        'went on after its TPM was reset more than once, or was restarted since; only the last time is told of',
      )
    const found = isClockBack(before.clock, clock, change)
      ? inOrder(['the clock of the TPM went back further than the way it went down allows'])
      : []
    return [...found, ...this.#resetAlone(change)]
  }

  #gap({ attempt }: PlaceInRun, what: string): void {
    this.gaps.push({ attempt, message: `attempt ${attempt} ${what}` })
  }

  /** The boot_id of the boot statement, else of the attempt's environment, against that of the attempt before. */
  #sameKernel(before: HostState, now: HostState, boot: BootFacts | undefined): boolean | null {
    const idOf = ({ attempt }: HostState): string | null => this.#attempts[attempt - 1].environment.bootId
    const [from, to] = [idOf(before), boot?.bootId ?? idOf(now)]
    return from === null || to === null ? null : from === to
  }

  /** Whoever resets a chip under a running host can measure into its registers what he likes. */
  #resetAlone({ resets, sameKernel, to }: PowerChange): Wrong[] {
    const { transport } = this.#attempts[to.attempt - 1].environment.tpm
    if (resets === 0 || sameKernel !== true || transport !== 'device') return []
    return [
      { code: 'TPM_RESET_ALONE', message: 'the TPM, a chip by its host’s word, was reset while the kernel went on' },
    ]
  }
}

function place({ attempt, seq }: HostState): PlaceInRun {
  return { attempt, seq }
}

function inOrder(messages: readonly string[]): Wrong[] {
  return messages.map((message) => ({ code: 'ATTESTATION_ORDER', message }))
}

/** Statements are of the quote's own power cycle, and made before it. */
function cycleOf({ boot, counter }: StatementFacts, now: TpmsClockInfo, before: TpmsClockInfo | undefined): Wrong[] {
  const found: Wrong[] = []
  const add = (message: string): void => void found.push({ code: 'STATEMENT_CYCLE', message })
  const clocks = [boot?.clock, boot?.counter.clock, counter?.clock].filter((clock) => clock !== undefined)
  if (clocks.some((clock) => !isSameCycle(clock, now))) add('a statement is of another power cycle than the quote')
  else if (clocks.some(({ clock }) => clock > now.clock)) add('a statement is later than the quote that carries it')
  if (boot !== undefined && boot.clock.clock > boot.counter.clock.clock)
    add('the boot was counted before it was told of')
  const isBefore = before !== undefined && counter !== undefined && isSameCycle(before, counter.clock)
  if (isBefore && counter.clock.clock < before.clock) add("the attempt's counter is older than the attestation before")
  return found
}
