/**
 * Three tiers by file name: `*.test.ts` is the inner loop, `*.slow.test.ts` joins in `npm test`,
 * `*.nightly.test.ts` only in `npm run nightly`.
 */
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'
import { slowestReporter } from './tools/slowest.ts'
import { stuckReporter } from './tools/stuck.ts'

const tier = process.env['REPRISE_TESTS'] ?? 'check'
const exclude = ['**/node_modules/**', '**/dist/**']
if (tier === 'check') exclude.push('**/*.slow.test.ts')
if (tier !== 'nightly') exclude.push('**/*.nightly.test.ts')

/** Those of more than a minute, the longest first. */
const LONGEST = [
  ...['command/kill-runtimes', 'recovery/fleet', 'command/kill-kernels', 'command/store', 'tools/docs'],
  ...['command/moving', 'command/resume', 'difference/diff', 'command/warm', 'fuzz/fuzz', 'dirty-pages/dirty-pages'],
].map((path) => `/${path}.slow.test.ts`)

/** What takes longest begins first: at the end no worker waits for another one that has the kill matrix before it. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const place = LONGEST.findIndex((path) => moduleId.endsWith(path))
      if (place >= 0) return place
      if (!moduleId.includes('.slow.')) return LONGEST.length + 2
      return LONGEST.length + (moduleId.includes('/test/') ? 0 : 1)
    }
    return (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b))
  }
}

export default defineConfig({
  test: {
    include: ['packages/*/src/**/*.test.ts', 'test/**/*.test.ts', 'tools/**/*.test.ts', 'bench/**/*.test.ts'],
    exclude,
    // Processes, not threads: a machine sets V8's flags for its process, which code of another test would not survive.
    pool: 'forks',
    // As the machine gives its own threads: what a guest may have of the stack is a matter of the computation.
    execArgv: ['--stack-size=3900'],
    sequence: { sequencer: LongestFirst },
    isolate: false,
    setupFiles: [join(import.meta.dirname, 'tools', 'equality.ts')],
    // What tests start from source need not be read and compiled anew each time: half of its start.
    env: { NODE_COMPILE_CACHE: join(import.meta.dirname, 'node_modules', '.cache', 'node'), REPRISE_TESTS: tier },
    // Tests of whole commands wait more than they compute: with a worker for each core one would be idle.
    maxWorkers: Math.max(3, availableParallelism()),
    reporters: [
      'dot',
      stuckReporter(tier === 'nightly' ? 7_200_000 : 1_800_000),
      ...(tier === 'check' ? [] : [slowestReporter(25)]),
    ],
    testTimeout: tier === 'check' ? 30_000 : 300_000,
    hookTimeout: 120_000,
  },
})
