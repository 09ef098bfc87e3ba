/** A reporter that says at the end which files of tests took longest: all of them share fifteen minutes. */

import { relative } from 'node:path'
import type { Reporter } from 'vitest/node'

/** @param count - How many files are named. */
export function slowestReporter(count: number): Reporter {
  return {
    onTestRunEnd(modules) {
      const timed = modules.map((module) => ({ path: module.moduleId, ms: module.diagnostic().duration }))
      const slowest = timed.toSorted((a, b) => b.ms - a.ms).slice(0, count)
      process.stdout.write('\nslowest:\n')
      for (const { path, ms } of slowest)
        process.stdout.write(`${(ms / 1000).toFixed(1).padStart(8)} s  ${relative(process.cwd(), path)}\n`)
    },
  }
}
