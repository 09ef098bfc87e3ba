import { chmod, mkdtemp, rm, stat } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { hostPaths, prepareHome, repriseHome } from './home.ts'

const folder = await mkdtemp(join(tmpdir(), 'reprise-home-'))
afterAll(() => rm(folder, { recursive: true, force: true }))

describe('the home', () => {
  test('is REPRISE_HOME, else the XDG data folder', () => {
    expect(repriseHome({ REPRISE_HOME: '/a/b/', XDG_DATA_HOME: '/c' })).toBe('/a/b')
    expect(repriseHome({ REPRISE_HOME: '', XDG_DATA_HOME: '/c' })).toBe('/c/reprise')
    expect(repriseHome({ XDG_DATA_HOME: 'relative' })).toBe(join(homedir(), '.local/share/reprise'))
  })

  test('is made for its owner only', async () => {
    const paths = prepareHome(join(folder, 'a', 'b'))
    for (const path of [paths.home, paths.tpm]) expect((await stat(path)).mode & 0o777).toBe(0o700)
  })

  test('must not be writable for others', async () => {
    const home = join(folder, 'open')
    prepareHome(home)
    await chmod(home, 0o770)
    expect(() => prepareHome(home)).toThrow(
      expect.objectContaining({ code: 'HOME', hint: expect.stringContaining('chmod 700') }),
    )
  })

  test('must be short enough for a socket, counted in bytes', () => {
    const fits = `/${'x'.repeat(106 - '/tpm/swtpm/tpm.sock'.length)}`
    expect(hostPaths(fits).home).toBe(fits)
    expect(() => hostPaths(`${fits}x`)).toThrow('Linux takes 107')
    expect(() => hostPaths(`${fits.slice(0, -1)}ä`)).toThrow('Linux takes 107')
  })
})
