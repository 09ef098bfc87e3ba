import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'

const root = resolve(import.meta.dirname, '..')
const LIMIT_MS = 4000

/** Runs one file of tests under the reporter. */
function runUnder(source: string): { readonly status: number | null; readonly stderr: string } {
  const folder = mkdtempSync(join(tmpdir(), 'reprise-stuck-'))
  try {
    writeFileSync(join(folder, 'some.test.ts'), `import { test } from 'vitest'\n${source}`)
    writeFileSync(
      join(folder, 'vitest.config.ts'),
      `import { stuckReporter } from ${JSON.stringify(join(root, 'tools/stuck.ts'))}
       export default { test: { pool: 'forks', isolate: false, reporters: [stuckReporter(${LIMIT_MS})] } }`,
    )
    // Its modules are found from here: the folder has none.
    const words = [join(root, 'node_modules/vitest/vitest.mjs'), 'run', '--root', folder]
    return spawnSync(process.execPath, [...words, '--config', join(folder, 'vitest.config.ts')], {
      ...{ encoding: 'utf8', cwd: root, timeout: 28_000 },
    })
  } finally {
    rmSync(folder, { recursive: true })
  }
}

test('a file whose process computes for ever ends the run, by name', () => {
  const { status, stderr } = runUnder(`test('spins', () => { for (;;); }, 100)`)
  expect(stderr).toContain('some.test.ts: nothing from there for 4 s')
  expect(status).toBe(1)
})

test('a file that takes longer, and goes on, does not', () => {
  const { status, stderr } = runUnder(
    `for (let i = 0; i < 8; i++) test(String(i), () => new Promise((resolve) => setTimeout(resolve, 900)))`,
  )
  expect(stderr).not.toContain('the run ends here')
  expect(status).toBe(0)
})
