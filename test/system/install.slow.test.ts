/** What system/install.sh puts into a system, once and again. That it works there is for test/guest. */
import { execFileSync } from 'node:child_process'
import { existsSync, lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, expect, test } from 'vitest'

const SYSTEM = resolve(import.meta.dirname, '../../system')
const root = mkdtempSync(join(tmpdir(), 'reprise-install-'))
afterAll(() => rmSync(root, { recursive: true }))

const install = (): string =>
  execFileSync('sh', [join(SYSTEM, 'install.sh'), '--root', root], { stdio: 'pipe' }).toString()
const programs = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))

test('command, units and hooks are there, and settings stay', () => {
  install()
  const conf = join(root, 'etc/reprise/recovery.conf')
  writeFileSync(conf, 'REPRISE_RECOVERY_OPTIONS=--image /srv/image\n')
  install()
  expect(readFileSync(conf, 'utf8')).toContain('/srv/image')
  expect(lstatSync(join(root, 'usr/bin/reprise')).isSymbolicLink()).toBe(true)
  for (const program of ['usr/bin/reprise', 'usr/lib/reprise/bin/node', 'usr/lib/reprise/dist/recovery/holder'])
    expect(statSync(join(root, program)).mode & 0o111).toBe(0o111)
  // One build and not those before it.
  const dist = join(root, 'usr/lib/reprise/dist')
  const entry = readFileSync(join(dist, 'reprise.cjs'), 'utf8')
  const builds = readdirSync(dist).filter((name) => name.startsWith('build-'))
  expect(builds).toHaveLength(1)
  expect(entry).toContain(builds[0])
  for (const unit of ['reprise-recovery', 'reprise-released', 'reprise-resume@'])
    expect(existsSync(join(root, `usr/lib/systemd/system/${unit}.service`))).toBe(true)
  expect(readdirSync(join(root, 'usr/lib')).toSorted()).toEqual(['dracut', 'reprise', 'systemd'])
})

test('scripts are well-formed for the shell that they name', () => {
  for (const path of programs(SYSTEM)) {
    const [, shell] = /^#!(\/bin\/(?:sh|bash))\n/.exec(readFileSync(path, 'utf8')) ?? []
    if (shell !== undefined) execFileSync(shell, ['-n', path])
  }
})

test('every option that units and scripts give is one of the command', () => {
  const help = (command: string): string =>
    execFileSync(join(SYSTEM, '../reprise'), [...command.split(' '), '--help'], { stdio: 'pipe' }).toString()
  const calls = programs(SYSTEM).flatMap((path) => [
    ...readFileSync(path, 'utf8').matchAll(/^[^#\n]*\breprise ((?:recovery )?[a-z]+) (--.*)$/gm),
  ])
  expect(calls.length).toBeGreaterThan(3)
  for (const [, command, options] of calls)
    for (const [option] of options.matchAll(/--[a-z-]+/g)) expect(help(command)).toContain(option)
})
