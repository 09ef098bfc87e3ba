/** What is fuzzed: a name, and what must hold of one random input. */
import type { Random } from './random.ts'

export interface FuzzTarget {
  readonly name: string
  /** What holds of every input, in the words of a report. */
  readonly claim: string
  /** Inputs by day, about two seconds of one core. */
  readonly byDay: number
  /**
   * Reads the samples.
   *
   * @returns Makes one input from random numbers and throws unless the claim holds of it.
   */
  readonly prepare: () => Promise<(random: Random) => Promise<void> | void>
}

/** Runs what may refuse its input, and only so. @returns Undefined where it did. */
export function unlessRefused<T>(errorClass: abstract new (...args: never[]) => Error, run: () => T): T | undefined {
  try {
    return run()
  } catch (error) {
    if (error instanceof errorClass) return undefined
    throw error
  }
}
