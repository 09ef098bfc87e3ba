/**
 * How the project measures itself: pairs of a subject and its baseline, alternating in one run, at least five of
 * them (three when quick), medians. What was not measured is absent, never zero.
 */

export interface Row {
  readonly group: string
  readonly name: string
  /** Median of the subject; the same as `median`. */
  readonly value: number
  readonly unit: string
  /** Median of the baseline, null without one. */
  readonly baseline: number | null
  /** value / baseline. */
  readonly ratio: number | null
  readonly runs: number
  readonly min: number
  readonly median: number
  readonly max: number
}

export interface Absent {
  readonly group: string
  readonly name: string
  readonly why: string
}

export interface Group {
  readonly name: string
  /** One line for `--help`. */
  readonly about: string
  readonly measure: (bench: Bench) => Promise<void>
}

/** Gives one sample of a figure, in the row's unit. */
export type Sample = () => number | Promise<number>

export interface Figure {
  readonly name: string
  readonly unit: string
  readonly subject: Sample
  readonly baseline?: Sample
  /** Key of the summary that this row gives, by its value or its ratio. */
  readonly summary?: { readonly key: string; readonly of: 'value' | 'ratio' }
}

export interface BenchSettings {
  readonly quick: boolean
  /** One line at a time, for people who wait. */
  readonly progress: (line: string) => void
  /** Ends the measuring; what was measured stays. */
  readonly signal?: AbortSignal | undefined
}

const INTERRUPTED = 'interrupted'
const PAIRS = 5
const PAIRS_QUICK = 3

/** What a group is handed: it measures figures, and says what it could not measure. */
export class Bench {
  readonly rows: Row[] = []
  readonly absent: Absent[] = []
  readonly summary: Record<string, number> = {}
  readonly quick: boolean
  readonly pairs: number
  readonly #progress: (line: string) => void
  readonly #signal: AbortSignal | undefined
  #group = ''

  constructor({ quick, progress, signal }: BenchSettings) {
    this.quick = quick
    this.#signal = signal
    this.pairs = quick ? PAIRS_QUICK : PAIRS
    this.#progress = progress
  }

  /** Runs a group. @returns False when it failed; the failure is then among what is absent. */
  async run(group: Group): Promise<boolean> {
    this.#group = group.name
    try {
      this.checkInterrupted()
      await group.measure(this)
      return true
    } catch (error) {
      // A terminal interrupts what is being measured too, which then fails in a way of its own.
      const why = error instanceof Error ? error.message : String(error)
      this.notMeasured('*', this.#signal?.aborted === true ? INTERRUPTED : why)
      return false
    }
  }

  /** Between two samples. @throws Error when the person does not want to wait any more. */
  checkInterrupted(): void {
    if (this.#signal?.aborted === true) throw new Error(INTERRUPTED)
  }

  progress(what: string): void {
    this.#progress(`${this.#group}: ${what}`)
  }

  notMeasured(name: string, why: string): void {
    this.absent.push({ group: this.#group, name, why })
    this.progress(`${name} is not measured: ${why}`)
  }

  /** Takes one sample of each that does not count, then the pairs; who goes first alternates. */
  async figure({ name, unit, subject, baseline, summary }: Figure): Promise<Row> {
    this.progress(name)
    const samples: number[] = []
    const baselines: number[] = []
    const take = async (sample: Sample | undefined, into: number[]): Promise<void> => {
      this.checkInterrupted()
      if (sample !== undefined) into.push(await sample())
    }
    await take(baseline, [])
    await take(subject, [])
    for (let pair = 0; pair < this.pairs; pair++) {
      if (pair % 2 === 0) await take(baseline, baselines)
      await take(subject, samples)
      if (pair % 2 === 1) await take(baseline, baselines)
    }
    return this.add({ name, unit, samples, baselines, ...(summary && { summary }) })
  }

  /** A row of samples that the group took itself. */
  add(figure: {
    readonly name: string
    readonly unit: string
    readonly samples: readonly number[]
    readonly baselines?: readonly number[]
    readonly summary?: NonNullable<Figure['summary']>
  }): Row {
    const { name, unit, samples, baselines = [], summary } = figure
    const value = median(samples)
    const baseline = baselines.length === 0 ? null : median(baselines)
    const row: Row = {
      group: this.#group,
      name,
      value,
      unit,
      baseline,
      ratio: baseline === null ? null : value / baseline,
      runs: samples.length,
      min: Math.min(...samples),
      median: value,
      max: Math.max(...samples),
    }
    this.rows.push(row)
    const summed = summary && row[summary.of]
    if (summary && summed !== null && summed !== undefined) this.summary[summary.key] = summed
    return row
  }
}

export function median(samples: readonly number[]): number {
  if (samples.length === 0) throw new Error('no samples')
  const sorted = samples.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

export function geomean(values: readonly number[]): number {
  if (values.length === 0) throw new Error('no values')
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length)
}

/** Seconds that `work` takes. */
export async function seconds(work: () => unknown): Promise<number> {
  const start = performance.now()
  await work()
  return (performance.now() - start) / 1000
}
