/** The command. What is asked for most often answers before anything else is loaded. */
import manifest from '../package.json' with { type: 'json' }

if (process.argv.length === 3 && process.argv[2] === '--version') {
  process.stdout.write(`${manifest.version}\n`)
} else {
  void import('./start.ts').then(({ start }) => start(process.argv, manifest.version))
}
