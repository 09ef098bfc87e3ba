/** Secrets that a command has in memory stay out of core dumps, whatever the limit of their size is. */
import { writeFileSync } from 'node:fs'

/**
 * From now on a dump of this process, and of those that it starts, has no memory in it.
 *
 * Source: core(5), `/proc/PID/coredump_filter`.
 */
export function keepOutOfDumps(): void {
  try {
    writeFileSync('/proc/self/coredump_filter', '0')
  } catch {
    // Another system, or a kernel without it: then the limit of the unit (LimitCORE=0) is all there is.
  }
}
