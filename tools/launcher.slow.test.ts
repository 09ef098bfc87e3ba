/** The launcher, in a small repository that borrows our node_modules: no network, no apt-get. */

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

const ours = resolve(import.meta.dirname, '..')
const systemTools = [
  'sh',
  'dirname',
  'readlink',
  'find',
  'mkdir',
  'mv',
  'rm',
  'cp',
  'cmp',
  'flock',
  'id',
  'tail',
  'env',
  'sed',
]

describe('./reprise', () => {
  let base: string
  let root: string
  let bin: string
  const version = (text: string): void =>
    writeFileSync(join(root, 'packages/cli/src/main.ts'), `console.log('${text}', ...process.argv.slice(2))`)
  /** The environment of a machine that has the system's tools and nothing of ours. */
  const bare = (): NodeJS.ProcessEnv => ({ PATH: bin, HOME: base })
  const reprise = (args: string[], more: { path?: string; cwd?: string; env?: NodeJS.ProcessEnv } = {}) => {
    const { path = join(root, 'reprise'), cwd = base, env = bare() } = more
    const { status, stdout, stderr } = spawnSync(path, args, { cwd, env, encoding: 'utf8' })
    return { status, stdout, stderr }
  }

  beforeEach(() => {
    base = mkdtempSync(join(tmpdir(), 'reprise launcher-'))
    root = join(base, 'clone')
    bin = join(base, 'bin')
    mkdirSync(join(root, 'packages/cli/src'), { recursive: true })
    const tools = ['tools/setup.sh', 'tools/bundle.ts', 'tools/code.cjs']
    for (const path of ['reprise', 'package.json', 'package-lock.json', ...tools])
      cpSync(join(ours, path), join(root, path))
    mkdirSync(join(root, 'node_modules/.bin'), { recursive: true })
    symlinkSync(join(ours, 'node_modules/rolldown'), join(root, 'node_modules/rolldown'))
    symlinkSync(process.execPath, join(root, 'node_modules/.bin/node'))
    cpSync(join(root, 'package-lock.json'), join(root, 'node_modules/.reprise-lock'))
    version('one')
    mkdirSync(bin)
    for (const tool of systemTools) symlinkSync(spawnSync('which', [tool]).stdout.toString().trim(), join(bin, tool))
  })
  afterEach(() => rmSync(base, { recursive: true }))

  test('builds at the first start, says nothing, passes arguments and the exit code on', () => {
    expect(reprise(['a b', ''])).toEqual({ status: 0, stdout: 'one a b \n', stderr: '' })
    writeFileSync(join(root, 'packages/cli/src/main.ts'), 'process.exitCode = 3')
    expect(reprise([]).status).toBe(3)
  })

  test('works through symlinks and from any folder', () => {
    reprise([])
    symlinkSync('../clone/reprise', join(bin, 'relative'))
    symlinkSync(join(bin, 'relative'), join(base, 'chained'))
    expect(reprise(['x'], { path: './chained' }).stdout).toBe('one x\n')
    expect(reprise(['x'], { path: 'relative', cwd: '/' }).stdout).toBe('one x\n')
    expect(reprise(['reprise', 'x'], { path: 'sh', cwd: root }).stdout).toBe('one x\n')
  })

  test('notices a source that changed and one that went away', () => {
    writeFileSync(join(root, 'packages/cli/src/old.worker.ts'), '')
    expect(reprise([]).stdout).toBe('one\n')
    version('two')
    expect(reprise([]).stdout).toBe('two\n')
    const stamp = readFileSync(join(root, 'dist/reprise.cjs'), 'utf8')
    rmSync(join(root, 'packages/cli/src/old.worker.ts'))
    reprise([])
    expect(readFileSync(join(root, 'dist/reprise.cjs'), 'utf8')).not.toBe(stamp)
  })

  test('two first starts at once both work', async () => {
    const starts = [1, 2].map(() => spawn(join(root, 'reprise'), { cwd: base, env: bare() }))
    const outputs = starts.map(async (start) => (await start.stdout.toArray()).join(''))
    for (const start of starts) if (start.exitCode === null) await once(start, 'exit')
    expect(await Promise.all(outputs)).toEqual(['one\n', 'one\n'])
  })

  test('preloads nothing from a path that LD_PRELOAD cannot hold, and nothing is said of it', () => {
    writeFileSync(join(root, 'packages/cli/src/main.ts'), 'console.log(process.env.REPRISE_USERFAULTFD)')
    expect(reprise([]).stdout).toBe('undefined\n')
    mkdirSync(join(root, 'dist/dirty-pages'))
    writeFileSync(join(root, 'dist/dirty-pages/preload.so'), '')
    const why = 'the path of Reprise has a space or a colon\n'
    expect(reprise([])).toEqual({ status: 0, stdout: why, stderr: '' })
  })

  test('gives a machine large pages, where the kernel leaves these to it, and nothing that it starts', () => {
    const main = `const memory = Buffer.allocUnsafeSlow(64 << 20)
const isLarge = readFileSync('/proc/self/smaps', 'utf8').match(/^VmFlags:.*/gm).some((flags) => / hg( |$)/.test(flags))
console.log(memory.length, isLarge, spawnSync('env').stdout.toString().match(/^(GLIBC|LD|REPRISE_T).*/gm))`
    const imported = "import { readFileSync } from 'node:fs'\nimport { spawnSync } from 'node:child_process'\n"
    writeFileSync(join(root, 'packages/cli/src/main.ts'), imported + main)
    for (const tool of ['swtpm', 'swtpm_setup']) writeFileSync(join(bin, tool), '#!/bin/sh\n', { mode: 0o755 })
    const plain = mkdtempSync('/tmp/reprise-launcher-')
    try {
      cpSync(root, plain, { recursive: true, verbatimSymlinks: true })
      mkdirSync(join(plain, 'dist/dirty-pages'), { recursive: true })
      cpSync(join(ours, 'dist/dirty-pages/preload.so'), join(plain, 'dist/dirty-pages/preload.so'))
      const path = join(plain, 'reprise')
      const isLeft = readFileSync('/sys/kernel/mm/transparent_hugepage/enabled', 'utf8').includes('[madvise]')
      expect(reprise(['run'], { path }).stdout).toBe(`67108864 ${isLeft} null\n`)
      expect(reprise(['verify'], { path }).stdout).toBe('67108864 false null\n')
      const env = { ...bare(), GLIBC_TUNABLES: 'glibc.malloc.arena_max=3' }
      expect(reprise(['run'], { path, env }).stdout).toBe(
        `67108864 false [ 'GLIBC_TUNABLES=glibc.malloc.arena_max=3' ]\n`,
      )
    } finally {
      rmSync(plain, { recursive: true })
    }
  })

  test('without a C compiler it says nothing, and leaves why', () => {
    mkdirSync(join(root, 'packages/runner/src/dirty-pages'), { recursive: true })
    writeFileSync(join(root, 'packages/runner/src/dirty-pages/scanner.c'), '')
    expect(reprise([])).toEqual({ status: 0, stdout: 'one\n', stderr: '' })
    expect(readFileSync(join(root, 'dist/dirty-pages/absent'), 'utf8')).toContain('no C compiler')
  })

  test('a set-up that was interrupted is done again', () => {
    rmSync(join(root, 'node_modules/.reprise-lock'))
    writeFileSync(join(bin, 'npm'), '#!/bin/sh\n', { mode: 0o755 })
    const { status, stderr } = reprise([], { env: { ...bare(), REPRISE_NO_INSTALL: '1' } })
    expect(status).toBe(125)
    expect(stderr).toContain(`cd ${root} && REPRISE_NO_INSTALL= sh tools/setup.sh packages`)
  })

  test('without npm and apt-get it says what to install, on stderr, with 125', () => {
    rmSync(join(root, 'node_modules'), { recursive: true })
    const { status, stdout, stderr } = reprise([])
    expect({ status, stdout }).toEqual({ status: 125, stdout: '' })
    expect(stderr).toContain('npm, which fetches the pinned Node and the packages, is missing')
    expect(stderr).toContain("install with this system's own package manager: npm")
  })

  test.skipIf(existsSync('/dev/tpmrm0'))('asks for the software TPM only where a command signs', () => {
    const none = { ...bare(), REPRISE_NO_INSTALL: '1' }
    expect(reprise(['verify', 'x'], { env: none }).status).toBe(0)
    expect(reprise(['run', '--help'], { env: none }).status).toBe(0)
    const { status, stderr } = reprise(['run', 'x'], { env: none })
    expect(status).toBe(125)
    expect(stderr).toContain('the software TPM is missing')
    expect(stderr).toContain('swtpm swtpm-tools')
  })
})
