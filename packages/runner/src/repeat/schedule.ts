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

  /** Jobs that have not done any: all begin at about the same time. */
  const beginners = new Set<number>()

  /** What somebody still has to do before coming to a stretch; undefined when nobody is on the way. */
  const wayTo = ([first]: readonly Segment[]): number | undefined => {
    const [job, segment] = [...current].find(([, { last }]) => last === first.first) ?? []
    if (job === undefined || segment === undefined) return undefined
    // How far it has come is not known: half-way, unless it has just begun.
    return weightOf(segment) * (beginners.has(job) ? 1 : 1 / 2)
  }
  /** Takes the segment at `index` out of a stretch. */
  const claim = (job: number, stretch: readonly Segment[], index: number): Segment => {
    const rest = [stretch.slice(0, index), stretch.slice(index + 1)].filter(({ length }) => length > 0)
    stretches = [...stretches.filter((other) => other !== stretch), ...rest]
    current.set(job, stretch[index])
    return stretch[index]
  }

  return {
    take(job, after) {
      if (current.delete(job)) beginners.delete(job)
      else beginners.add(job)
      const next = after && stretches.find(([first]) => first.first === after.last)
      if (next !== undefined) return claim(job, next, 0)
      const [longest] = stretches.toSorted((a, b) => sum(b, weightOf) - sum(a, weightOf))
      if (longest === undefined) return undefined
      const way = wayTo(longest)
      return claim(job, longest, way === undefined ? 0 : middleOf(longest, way, weightOf))
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

/**
 * Where a second job begins so that both have about as much to do, and the first one rather more: it need not be restored. The
 * first segment only where it is the only one.
 *
 * @param way - What the first job has to do before it comes there.
 */
function middleOf(stretch: readonly Segment[], way: number, weightOf: (segment: Segment) => number): number {
  const half = (way + sum(stretch, weightOf)) / 2
  let before = way
  let index = 0
  while (index < stretch.length - 1 && (index === 0 || before + weightOf(stretch[index]) / 2 <= half)) {
    before += weightOf(stretch[index])
    index += 1
  }
  return index
}

function sum(stretch: readonly Segment[], weightOf: (segment: Segment) => number): number {
  return stretch.reduce((total, segment) => total + weightOf(segment), 0)
}
