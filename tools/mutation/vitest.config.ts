/**
 * Vitest for mutation testing: one file, which runs the tests that it collects itself, over sources that carry all of their
 * mutants at once, each behind a switch. See mutation.ts.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { relative, resolve } from 'node:path'
import { Instrumenter } from '@stryker-mutator/instrumenter'
import { defineConfig } from 'vitest/config'

const root = resolve(import.meta.dirname, '../..')
const files = (process.env['REPRISE_MUTATE'] ?? '').split(',').filter(Boolean)

const silent = (): void => {}
const no = (): boolean => false
const logger = {
  ...{
    isTraceEnabled: no,
    isDebugEnabled: no,
    isInfoEnabled: no,
    isWarnEnabled: no,
    isErrorEnabled: no,
    isFatalEnabled: no,
  },
  ...{ trace: silent, debug: silent, info: silent, warn: silent, error: silent, fatal: silent },
}

const instrumented = await new Instrumenter(logger).instrument(
  files.map((name) => ({ name, content: readFileSync(resolve(root, name), 'utf8'), mutate: true })),
  // Wording may improve; a code that is wrong does not compile.
  { plugins: null, excludedMutations: ['StringLiteral'], ignorers: [] },
)
const sources = new Map(instrumented.files.map(({ name, content }) => [name, content]))
mkdirSync(resolve(root, '.cache'), { recursive: true })
writeFileSync(resolve(root, '.cache/mutants.json'), JSON.stringify(instrumented.mutants))

export default defineConfig({
  root,
  resolve: {
    alias: [
      { find: '@reprise/core/certificates', replacement: resolve(root, 'packages/core/src/certificates/index.ts') },
      { find: '@reprise/core', replacement: resolve(root, 'packages/core/src/index.ts') },
      { find: /^vitest$/, replacement: resolve(root, 'tools/mutation/collect.ts') },
    ],
  },
  plugins: [
    {
      name: 'mutants',
      enforce: 'pre',
      transform: (_code, id) => sources.get(relative(root, id.split('?')[0])),
    },
  ],
  test: {
    // It knows a file by its content, and not by the mutants that another one was cut into.
    fsModuleCache: false,
    include: ['tools/mutation/run.ts'],
    pool: 'threads',
    maxWorkers: 1,
    reporters: ['dot'],
    testTimeout: 8 * 3600 * 1000,
  },
})
