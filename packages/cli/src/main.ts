/** The command. Answers on stdout, advice on stderr; exit 2 for bad usage. */

import manifest from '../package.json' with { type: 'json' }

if (process.argv[2] === '--version') {
  process.stdout.write(`${manifest.version}\n`)
} else {
  process.stderr.write('usage: reprise --version\n')
  process.exitCode = 2
}
