/** The command. What is asked for most often answers before anything else is loaded. */
import { repriseHome } from '@reprise/host'
import { expectedModule, startEngineThreadEarly } from '@reprise/runner'
import manifest from '../package.json' with { type: 'json' }

/** Commands that start a machine in this process. */
const RUNS = new Set<string | undefined>(['run', 'resume', 'repeat'])
if (process.argv.length === 3 && process.argv[2] === '--version') {
  process.stdout.write(`${manifest.version}\n`)
} else {
  const [, , command, ...rest] = process.argv
  // It begins beside the reading of the command line, of the files, and of what is kept.
  if (RUNS.has(command) && !rest.includes('--help') && !rest.includes('-h')) beginEngine(command, rest)
  void import('./program.ts').then(({ main }) => main(process.argv, manifest.version)).then(leave)
}

function beginEngine(command: string | undefined, rest: readonly string[]): void {
  const module = command === 'run' ? expectedModule(rest) : undefined
  startEngineThreadEarly(module && { module, home: repriseHome() })
}

/** Ends the process once what it wrote is on its way: taking down heaps and machines one by one takes a tenth of a short run. */
async function leave(): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) {
    if (stream.writableLength > 0) await new Promise((resolve) => stream.write('', resolve))
  }
  process.exit()
}
