/** From the command line to the end of the process. */
import { startEngineThreadEarly } from '@reprise/runner'

/** Commands that start a machine in this process. */
const RUNS = new Set<string | undefined>(['run', 'resume', 'repeat'])

export async function start(argv: readonly string[], version: string): Promise<void> {
  const [, , command, ...rest] = argv
  // It begins beside the loading of all else, the reading of the command line, of the files, and of what is kept.
  if (RUNS.has(command) && !rest.includes('--help') && !rest.includes('-h')) {
    startEngineThreadEarly()
    if (command === 'run') await (await import('./expected.ts')).tellExpected(rest)
  }
  const { main } = await import('./program.ts')
  await main(argv, version)
  await leave()
}

/** Ends the process once what it wrote is on its way: taking down heaps and machines one by one takes a tenth of a short run. */
async function leave(): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) {
    if (stream.writableLength > 0) await new Promise((resolve) => stream.write('', resolve))
  }
  process.exit()
}
