/**
 * The first step at which two executions of one module part: two probes run side by side, are stopped at the same
 * positions, and all of both is compared, stacks too. A stretch in which they part is run again from its beginning in
 * finer stretches, until no site lies between the last equal stop and the first different one. A host call that answered
 * differently shows at once where to look.
 *
 * That two machines of equal state go on alike until a host call answers differently is what `wasm/1` promises; positions
 * exist at sites only (spec/wasm-machine.md §5), so nothing finer can be told by stopping.
 */
import { NEVER } from '@reprise/core'
import { partingOf, type CallLog, type Mark, type Probe, type ProbeStop } from '../machine/index.ts'

export interface Pair<T> {
  readonly a: T
  readonly b: T
}

export type MarkPart = Exclude<keyof Mark, 'position'>

/** Where they part. Both probes have kept the last equal stop, and stand at the first different one. */
export interface Step {
  readonly kind: 'step'
  readonly from: bigint
  /** The first stop of each behind `from`. */
  readonly stops: Pair<ProbeStop>
  /** Which parts of the machines differ there; none when they stop at different sites, or end differently. */
  readonly differs: readonly MarkPart[]
  /** Number of the host call between the two stops that was the first to be another; undefined: none was. */
  readonly call: number | undefined
}

export type Search =
  | Step
  /** They are alike to their ends, or as far as was to be searched: both have kept this position on the way. */
  | { readonly kind: 'none'; readonly from: bigint }
  /** They do not even begin alike, at the position from which they were compared. */
  | { readonly kind: 'apart' }
  | { readonly kind: 'interrupted' }

export interface SearchOptions {
  /** A position up to which the records agree; both probes stand at or before it. */
  readonly equal: bigint
  /** One at which they do not, as far as is known: it sets how far is gone at once. */
  readonly different: bigint
  /** How far to search; the ends of both unless it is given. */
  readonly until?: bigint | undefined
  readonly onProgress?: (position: bigint) => void
}

/** Stretches that an interval is cut into. */
const STRETCHES = 32n
/** When nothing is known of where the difference lies. */
const STRETCH_FUEL = 1n << 28n
const PARTS = ['memory', 'globals', 'frames', 'host', 'outputs'] as const
/** While calls are answered alike, everything is compared, and kept, this seldom; less when that takes long. */
const MARK_EVERY_MS = 2000
const MARK_SHARE = 1 / 20

/** @throws RunnerError as the probes do. */
export async function searchStep(probes: Pair<Probe>, options: SearchOptions): Promise<Search> {
  const search = new StepSearch(probes)
  const begun = await search.begin(options.equal)
  if (begun !== 'equal') return { kind: begun }
  if (options.until !== undefined && options.until <= options.equal) return { kind: 'none', from: options.equal }
  const interval = options.different - options.equal
  let stretch = interval > 0n ? atLeastOne(interval / STRETCHES) : STRETCH_FUEL
  /** Calls alone do not show where the difference comes in. */
  let careful = false
  let stops = 0n
  for (;;) {
    options.onProgress?.(search.reached)
    const next = search.reached + stretch
    const wanted = search.reached < options.different && next > options.different ? options.different : next
    const round = await search.advance(wanted, careful || stretch === 1n ? 0n : options.different)
    if (round.kind === 'interrupted') return round
    if (round.kind === 'ended') return { kind: 'none', from: search.kept }
    if (round.kind === 'alike') {
      if (options.until !== undefined && search.kept >= options.until) return { kind: 'none', from: search.kept }
      // A difference that did not last, or none where one was expected: on in longer and longer stretches.
      if (++stops % (2n * STRETCHES) === 0n) stretch *= 2n
      continue
    }
    const { parting } = round
    const from = search.kept
    if (stretch === 1n) {
      const call = parting?.position === from ? parting.number : undefined
      return { kind: 'step', from, stops: round.stops, differs: round.differs, call }
    }
    await search.back()
    stops = 0n
    // A call has the position of the last site before it: up to there all should be equal.
    if (parting !== undefined && (await search.goTo(parting.position))) stretch = 1n
    else [careful, stretch] = [true, atLeastOne(((parting?.position ?? wanted) - from) / STRETCHES)]
  }
}

const atLeastOne = (value: bigint): bigint => (value > 0n ? value : 1n)

type Round =
  /** `alike`: equal, as far as was looked. */
  | { readonly kind: 'alike' }
  | { readonly kind: 'ended' }
  | { readonly kind: 'interrupted' }
  | {
      readonly kind: 'different'
      readonly stops: Pair<ProbeStop>
      readonly differs: readonly MarkPart[]
      readonly parting: PartingCall | undefined
    }

/** The first host call that was another. */
interface PartingCall {
  readonly number: number
  readonly position: bigint
}

/** The two probes as they move together. */
class StepSearch {
  readonly #probes: Pair<Probe>
  /** The last equal stop, which both have kept. */
  kept = 0n
  /** Where both stand, or the lower of two positions. */
  reached = 0n
  #parts: readonly MarkPart[] = PARTS
  #markedMs = performance.now()
  #markTookMs = 0

  constructor(probes: Pair<Probe>) {
    this.#probes = probes
  }

  /** Goes to the first position, and finds out what can be compared. */
  async begin(equal: bigint): Promise<'equal' | 'apart' | 'interrupted'> {
    const stops = await this.#both(async (probe) => {
      if (probe.start < equal) return await probe.run({ position: equal })
      return { kind: 'start', position: probe.start } as const
    })
    if (isEither(stops, 'interrupted')) return 'interrupted'
    if (!isSameStop(stops) || stops.a.position !== equal) return 'apart'
    const marks = await this.#both((probe) => probe.mark())
    const differs = PARTS.filter((part) => marks.a[part] !== marks.b[part])
    // Other files may be there from the start: the host is another then, and what the program sees of it is to be found.
    if (differs.some((part) => part !== 'host')) return 'apart'
    this.#parts = PARTS.filter((part) => !differs.includes(part))
    await this.#keep(equal)
    return 'equal'
  }

  /**
   * Runs both to the first site at or after a position, and compares their calls on the way; all of them too at a site
   * from `thoroughFrom` on, or when that was long ago. What is equal there is kept.
   */
  async advance(position: bigint, thoroughFrom = 0n): Promise<Round> {
    const stops = await this.#both((probe) => probe.run({ position }))
    if (isEither(stops, 'interrupted')) return { kind: 'interrupted' }
    this.reached = stops.a.position < stops.b.position ? stops.a.position : stops.b.position
    const logs = await this.#both((probe) => probe.calls())
    const index = partingOf(logs.a, logs.b)
    const isSame = isSameStop(stops)
    const isWhole = logs.a.complete && logs.b.complete
    const isEnd = stops.a.kind !== 'due'
    const thoroughly = this.reached >= thoroughFrom || this.#isTime()
    if (index === undefined && isSame && isWhole && !isEnd && !thoroughly) return { kind: 'alike' }
    const startedMs = performance.now()
    const marks = await this.#both((probe) => probe.mark())
    const differs = this.#parts.filter((part) => marks.a[part] !== marks.b[part])
    if (!isSame || differs.length > 0) {
      const parting = index === undefined ? undefined : partingCall(logs, index)
      return { kind: 'different', stops, differs, parting }
    }
    if (isEnd) return { kind: 'ended' }
    await this.#keep(this.reached)
    this.#markTookMs = this.#markedMs - startedMs
    return { kind: 'alike' }
  }

  /** Whether both are equal at the site of this position, which is not before the kept one; if not, they are put back. */
  async goTo(position: bigint): Promise<boolean> {
    if (position <= this.kept) return true
    if ((await this.advance(position)).kind === 'alike') return true
    await this.back()
    return false
  }

  async back(): Promise<void> {
    await this.#both((probe) => probe.back())
    this.reached = this.kept
  }

  async #keep(position: bigint): Promise<void> {
    await this.#both((probe) => probe.keep())
    this.kept = this.reached = position
    this.#markedMs = performance.now()
  }

  #isTime(): boolean {
    const elapsedMs = performance.now() - this.#markedMs
    return elapsedMs > MARK_EVERY_MS && elapsedMs * MARK_SHARE > this.#markTookMs
  }

  async #both<T>(act: (probe: Probe) => Promise<T>): Promise<Pair<T>> {
    return await both(this.#probes, act)
  }
}

function partingCall({ a, b }: Pair<CallLog>, index: number): PartingCall {
  const [ofA, ofB] = [a.positions[index], b.positions[index]]
  return { number: a.first + index, position: ofA < ofB ? ofA : ofB }
}

/** At the same time; when one fails, the other is waited for, so that nothing goes on unseen. */
export async function both<T, R>({ a, b }: Pair<T>, act: (side: T) => Promise<R>): Promise<Pair<R>> {
  const [first, second] = await Promise.allSettled([act(a), act(b)])
  if (first.status === 'rejected') throw first.reason
  if (second.status === 'rejected') throw second.reason
  return { a: first.value, b: second.value }
}

function isEither({ a, b }: Pair<ProbeStop>, kind: ProbeStop['kind']): boolean {
  return a.kind === kind || b.kind === kind
}

function isSameStop({ a, b }: Pair<ProbeStop>): boolean {
  if (a.kind !== b.kind || a.position !== b.position) return false
  if (a.kind === 'exited' && b.kind === 'exited') return a.code === b.code
  return a.kind !== 'trapped' || b.kind !== 'trapped' || a.reason === b.reason
}

/** To the end, whatever comes. */
export const TO_THE_END = { position: NEVER } as const
