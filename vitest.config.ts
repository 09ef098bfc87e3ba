/**
 * Three tiers by file name: `*.test.ts` is the inner loop, `*.slow.test.ts` joins in `npm test`,
 * `*.nightly.test.ts` only in `npm run nightly`.
 */
import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

const tier = process.env['REPRISE_TESTS'] ?? 'check'
const exclude = ['**/node_modules/**', '**/dist/**']
if (tier === 'check') exclude.push('**/*.slow.test.ts')
if (tier !== 'nightly') exclude.push('**/*.nightly.test.ts')

export default defineConfig({
  test: {
    include: ['packages/*/src/**/*.test.ts', 'test/**/*.test.ts', 'tools/**/*.test.ts', 'bench/**/*.test.ts'],
    exclude,
    pool: 'threads',
    isolate: false,
    // Tests of whole commands wait more than they compute: with a worker for each core one would be idle.
    maxWorkers: Math.max(3, availableParallelism()),
    reporters: ['dot'],
    testTimeout: tier === 'check' ? 30_000 : 300_000,
    hookTimeout: 120_000,
  },
})
