/** Times at the ends of a program's equal rounds: what it costs once it is warm, and what it costs to get there. */

export interface Mark {
  /** CPU time of the thread that runs the guest; absent where another process watches. */
  readonly threadS?: number
  /** CPU time of the whole process, the compiler's threads among it. */
  readonly processS: number
  readonly wallS: number
}

export type Clock = keyof Mark

/** Of the rounds, how many are left out at the beginning: in them the engine still compiles what is hot. */
const WARMING = 0.4

/**
 * Seconds that one round takes when the program is warm.
 *
 * @param marks - The beginning, then the end of each round.
 */
export function steady(marks: readonly Mark[], clock: Clock): number {
  const first = Math.max(1, Math.round((marks.length - 1) * WARMING))
  return between(marks, { first, last: marks.length - 1 }, clock)
}

/** Mean seconds of a round between two marks. */
export function between(
  marks: readonly Mark[],
  { first, last }: { readonly first: number; readonly last: number },
  clock: Clock,
): number {
  if (last <= first || last >= marks.length) throw new Error(`${marks.length - 1} rounds are too few`)
  const [from, to] = [marks[first][clock], marks[last][clock]]
  if (from === undefined || to === undefined) throw new Error(`nobody read ${clock}`)
  return (to - from) / (last - first)
}

/** How a line begins that ends a round. */
export const ROUND = 'round '
