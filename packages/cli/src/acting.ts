/** From an action to an exit code. */
import type { Command } from 'commander'
import { Interrupted } from './interrupted.ts'
import { EXIT_INTERRUPTED } from './exit.ts'

type Action = (
  options: Record<string, unknown> & { readonly json?: boolean },
  words: readonly string[],
) => Promise<number>

/** Runs an action, prints its failure, and ends with its exit code. */
export function acting(name: string, load: () => Promise<{ readonly action: Action }>) {
  return async function (this: Command): Promise<void> {
    const options = this.opts() as Parameters<Action>[0]
    try {
      const { action } = await load()
      process.exitCode = await action(options, this.args)
    } catch (error) {
      // What was interrupted before it could answer has nothing to say.
      if (
        error instanceof Interrupted ||
        (error instanceof SuppressedError && error.suppressed instanceof Interrupted)
      ) {
        process.exitCode = EXIT_INTERRUPTED
        return
      }
      // Loads every package whose errors it knows.
      const { describeFailure, printFailure } = await import('./print/failure.ts')
      const failure = describeFailure(error, name)
      printFailure(failure, options.json === true)
      process.exitCode = failure.exitCode
    }
  }
}
