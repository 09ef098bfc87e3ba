/** One split at a time, and begun anew when a newer plan comes. Rules: spec/agent.md §8. */

import type { OwnParts } from './opening.ts'
import type { OwnerMemory } from './owner-memory.ts'
import { split, type SplitOptions } from './splitting.ts'

export interface Rotations {
  readonly isBusy: boolean
  /** Joins the one that is under way, unless it has keys of its own to bring: then it follows that one. @returns The epoch, once the one before is retired. */
  readonly run: (options: Omit<SplitOptions, 'signal'>) => Promise<number>
  /** Ends the one that is under way. @returns False when there is none. */
  readonly interrupt: (why: string) => Promise<boolean>
}

export function makeRotations(parts: OwnParts, memory: OwnerMemory): Rotations {
  let now: { readonly controller: AbortController; readonly done: Promise<number> } | undefined
  return {
    get isBusy() {
      return now !== undefined
    },
    async run(options) {
      while (now !== undefined) {
        if (options.first === undefined) return await now.done
        await now.done.catch(() => undefined)
      }
      const controller = new AbortController()
      const done = split(parts, memory, { ...options, signal: controller.signal })
      now = { controller, done }
      try {
        return await done
      } finally {
        now = undefined
      }
    },
    async interrupt(why) {
      if (now === undefined) return false
      now.controller.abort(new Error(why))
      await now.done.catch(() => undefined)
      return true
    },
  }
}
