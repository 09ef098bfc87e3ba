import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'

const root = resolve(import.meta.dirname, '..')

test('a file whose process computes for ever ends the run, by name', () => {
  const folder = mkdtempSync(join(tmpdir(), 'reprise-stuck-'))
  try {
    writeFileSync(
      join(folder, 'spin.test.ts'),
      `import { test } from 'vitest'; test('spins', () => { for (;;); }, 100)`,
    )
    writeFileSync(
      join(folder, 'vitest.config.ts'),
      `import { stuckReporter } from ${JSON.stringify(join(root, 'tools/stuck.ts'))}
       export default { test: { pool: 'forks', reporters: [stuckReporter(3000)] } }`,
    )
    const vitest = join(root, 'node_modules/vitest/vitest.mjs')
    // Its place of modules is ours: the folder has none.
    const config = ['--root', folder, '--config', join(folder, 'vitest.config.ts')]
    const { status, stderr } = spawnSync(process.execPath, [vitest, 'run', ...config], {
      encoding: 'utf8',
      cwd: root,
      timeout: 25_000,
    })
    expect(stderr).toContain('spin.test.ts: nothing from there for 3 s')
    expect(status).toBe(1)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
