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
  /** They end alike: at no step do the programs see a difference. */
  | { readonly kind: 'none' }
  /** They do not even begin alike, at the position from which they were compared. */
  | { readonly kind: 'apart' }
  | { readonly kind: 'interrupted' }

export interface SearchOptions {
  /** A position up to which the records agree; both probes stand at or before it. */
  readonly equal: bigint
  /** One at which they do not, as far as is known: it sets how far is gone at once. */
  readonly different: bigint
  readonly onProgress?: (position: bigint) => void
}

/** Stretches that an interval is cut into. Every stop costs a capture, every round a part of the interval again. */
const STRETCHES = 32n
/** When nothing is known of where the difference lies. */
const STRETCH_FUEL = 1n << 28n
const PARTS = ['memory', 'globals', 'frames', 'host', 'outputs'] as const

/** @throws RunnerError as the probes do. */
export async function searchStep(probes: Pair<Probe>, options: SearchOptions): Promise<Search> {
  const search = new StepSearch(probes)
  const begun = await search.begin(options.equal)
  if (begun !== 'equal') return { kind: begun }
  const interval = options.different - options.equal
  const full = interval > 0n ? atLeastOne(interval / STRETCHES) : STRETCH_FUEL
  let stretch = full
  let equalStops = 0
  for (;;) {
    options.onProgress?.(search.at)
    const from = search.at
    const round = await search.advance(from + stretch)
    if (round.kind === 'interrupted') return round
    if (round.kind === 'ended') return { kind: 'none' }
    if (round.kind === 'equal') {
      // A difference that did not last, or none where one was expected: go on in longer and longer stretches.
      equalStops++
      if (equalStops > 2 * Number(STRETCHES)) [stretch, equalStops] = [2n * stretch, 0]
      continue
    }
    equalStops = 0
    const { stops, differs, parting } = round
    if (stretch === 1n) {
      const between = parting !== undefined && parting.position === from ? parting.number : undefined
      return { kind: 'step', from, stops, differs, call: between }
    }
    await search.back()
    if (parting === undefined) {
      stretch = atLeastOne(stretch / STRETCHES)
    } else {
      // A call has the position of the last site before it.
      if (parting.position > from) {
        const there = await search.advance(parting.position)
        if (there.kind === 'interrupted') return there
        if (there.kind !== 'equal') {
          await search.back()
          stretch = atLeastOne((parting.position - from) / STRETCHES)
          continue
        }
      }
      stretch = 1n
    }
  }
}

const atLeastOne = (value: bigint): bigint => (value > 0n ? value : 1n)

type Round =
  | { readonly kind: 'equal' }
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
  at = 0n
  #parts: readonly MarkPart[] = PARTS

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
    await this.#both((probe) => probe.keep())
    this.at = equal
    return 'equal'
  }

  /** Runs both to the first site at or after a position; what is equal there is kept. */
  async advance(position: bigint): Promise<Round> {
    const stops = await this.#both((probe) => probe.run({ position }))
    if (isEither(stops, 'interrupted')) return { kind: 'interrupted' }
    const marks = await this.#both((probe) => probe.mark())
    const differs = this.#parts.filter((part) => marks.a[part] !== marks.b[part])
    if (isSameStop(stops) && differs.length === 0) {
      if (stops.a.kind !== 'due') return { kind: 'ended' }
      await this.#both((probe) => probe.keep())
      this.at = stops.a.position
      return { kind: 'equal' }
    }
    const logs = await this.#both((probe) => probe.calls())
    const index = partingOf(logs.a, logs.b)
    const parting = index === undefined ? undefined : partingCall(logs, index)
    return { kind: 'different', stops, differs, parting }
  }

  async back(): Promise<void> {
    await this.#both((probe) => probe.back())
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
