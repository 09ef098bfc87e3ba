/**
 * Which job repeats which segment. A machine that stands at the end of a segment goes on into the next one: to begin another
 * one anew costs a thread, compiled code and a memory. So a job that is free begins in the middle of the longest stretch that
 * nobody has begun, towards which another one is on its way.
 */
export interface Segment {
  readonly segment: number
  /** The checkpoints that bound it. */
  readonly first: number
  readonly last: number
}

export interface Schedule {
  /**
   * The next segment of a job; undefined when none is left.
   *
   * @param after - The one that the job has just done and whose end its machine stands at, if there is such a machine.
   */
  take(job: number, after: Segment | undefined): Segment | undefined
  /** Nothing is given out any more. */
  close(): void
}

/** @param segments - In order. @param weightOf - How long one takes, in any unit. */
export function createSchedule(segments: readonly Segment[], weightOf: (segment: Segment) => number): Schedule {
  let stretches = stretchesOf(segments)
  /** What each job is at. */
  const current = new Map<number, Segment>()

  const isWalkedTo = ([first]: readonly Segment[]): boolean =>
    [...current.values()].some(({ last }) => last === first.first)
  /** Takes the segment at `index` out of a stretch. */
  const claim = (job: number, stretch: readonly Segment[], index: number): Segment => {
    const rest = [stretch.slice(0, index), stretch.slice(index + 1)].filter(({ length }) => length > 0)
    stretches = [...stretches.filter((other) => other !== stretch), ...rest]
    current.set(job, stretch[index])
    return stretch[index]
  }

  return {
    take(job, after) {
      current.delete(job)
      const next = after && stretches.find(([first]) => first.first === after.last)
      if (next !== undefined) return claim(job, next, 0)
      const [longest] = stretches.toSorted((a, b) => sum(b, weightOf) - sum(a, weightOf))
      if (longest === undefined) return undefined
      return claim(job, longest, isWalkedTo(longest) ? middleOf(longest, weightOf) : 0)
    },
    close() {
      stretches = []
    },
  }
}

/** Segments of which each begins where the one before it ends. */
function stretchesOf(segments: readonly Segment[]): (readonly Segment[])[] {
  const stretches: Segment[][] = []
  for (const segment of segments) {
    const last = stretches.at(-1)
    if (last?.at(-1)?.last === segment.first) last.push(segment)
    else stretches.push([segment])
  }
  return stretches
}

/** Where a second job begins so that both have about as much to do; the first segment only where it is the only one. */
function middleOf(stretch: readonly Segment[], weightOf: (segment: Segment) => number): number {
  const half = sum(stretch, weightOf) / 2
  let before = 0
  let index = 0
  while (index < stretch.length - 1 && (index === 0 || before + weightOf(stretch[index]) / 2 < half)) {
    before += weightOf(stretch[index])
    index += 1
  }
  return index
}

function sum(stretch: readonly Segment[], weightOf: (segment: Segment) => number): number {
  return stretch.reduce((total, segment) => total + weightOf(segment), 0)
}
