/** Services of an image in namespaces of their own: order, readiness, credentials, ends. Rules: spec/loading.md. */

import { existsSync, readdirSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Secret } from '../sealing/secret.ts'
import type { Program } from './programs.ts'
import { freePort, isRoot, program, service, useLab } from './testing.ts'

const lab = useLab({ beforeEach, afterEach })

const forever = 'exec sleep 1000'
test.runIf(!isRoot)('without root the answer says what is missing', async () => {
  expect(await lab.load({ programs: [], services: [] })).toMatchObject({ kind: 'unsupported' })
})

describe.runIf(isRoot)('namespaces', () => {
  test.each(['folder', 'erofs', 'squashfs'] as const)(
    'a payload as %s becomes a root that can be written',
    async (as) => {
      const script = 'echo $$ $(hostname) $(ls /) ; touch /var/x && ls /var; ls /run'
      const loaded = await lab.load({
        as,
        programs: [program('a', script, { once: true })],
        services: [service('a')],
      })
      expect(loaded.kind).toBe('ready')
      expect(lab.output[0]).toMatch(
        new RegExp(`^a: \\d{1,2} ${hostname()} bin dev etc lib lib64 proc run sys tmp usr var$`),
      )
      expect(lab.output.slice(1)).toEqual(['a: x', 'a: credentials', 'a: notify'])
      expect(existsSync(join(lab.room.path, 'tree/var/x'))).toBe(false)
    },
  )

  test.each(['erofs', 'squashfs'] as const)('%s is unpacked where it cannot be mounted', async (as) => {
    // Without mount(8) it is as with a kernel that has no loop device.
    vi.stubEnv('PATH', '/nonexistent')
    const loaded = await lab
      .load({
        as,
        programs: [program('a', 'busybox grep -c loop /proc/mounts', { once: true })],
        services: [service('a')],
      })
      .finally(vi.unstubAllEnvs)
    expect(loaded).toMatchObject({ kind: 'failed' })
    expect(lab.output).toEqual(['a: 0'])
  })

  test.each(['folder', 'erofs', 'squashfs'] as const)('a service of another user runs out of %s', async (as) => {
    const script = 'id -u; id -g; cat /etc/reprise/services.json > /dev/null && touch /tmp/x && stat -c %a /tmp/x /'
    const loaded = await lab.load({
      as,
      programs: [program('a', script, { once: true, uid: 105, gid: 113 })],
      services: [service('a')],
    })
    expect(lab.output).toEqual(['a: 105', 'a: 113', 'a: 644', 'a: 755'])
    expect(loaded.kind).toBe('ready')
  })

  test('each starts when those before it are ready, side by side where it can, and stops the other way', async () => {
    const services = [
      service('site', { after: ['left', 'right'] }),
      service('left', { after: ['first'] }),
      service('right', { after: ['first'] }),
      service('first'),
    ]
    // Left and right each wait for the other to have started: one after the other they would never be ready.
    const meet = (mine: string, other: string): Program =>
      program(mine, `touch /run/${mine}; until [ -e /run/${other} ]; do sleep 0.01; done`, { once: true })
    const programs = [program('site', forever), meet('left', 'right'), meet('right', 'left'), program('first', forever)]
    const loaded = await lab.load({ programs, services })
    expect(loaded.kind).toBe('ready')
    const order = (what: string): number => lab.events.indexOf(what)
    expect(lab.events.slice(0, 4).every((event) => event.endsWith('waiting'))).toBe(true)
    expect(order('first ready')).toBeLessThan(order('left starting'))
    expect(order('left ready')).toBeLessThan(order('site starting'))
    expect(order('right ready')).toBeLessThan(order('site starting'))
    if (loaded.kind === 'ready') await loaded.stop()
    expect(order('site stopped')).toBeGreaterThan(0)
    expect(order('first stopped')).toBe(lab.events.length - 1)
    expect(readdirSync(lab.room.path)).toEqual(['tree'])
  })

  test('credentials are files of the service in memory, and nowhere else', async () => {
    const script = [
      'cd $CREDENTIALS_DIRECTORY && pwd && stat -c "%a %u %g" . key && cat key && echo',
      'stat -f -c %T . ; (echo x > new) 2>&1; env | busybox grep -c geheim',
    ].join(';')
    const loaded = await lab.load({
      programs: [
        program('a', script, { uid: 12, gid: 13, once: true }),
        program('b', 'ls -A /run/credentials', { once: true }),
      ],
      services: [service('a', { credentials: ['key'] }), service('b', { after: ['a'] })],
      request: {
        credentialsOf: (name) => new Map(name === 'a' ? [['key', Secret.owning(Buffer.from('geheim'))]] : []),
      },
    })
    expect(loaded.kind).toBe('failed')
    expect(lab.output.filter((line) => line.startsWith('a'))).toEqual([
      'a: /run/credentials/a',
      'a: 500 12 13',
      'a: 400 12 13',
      'a: geheim',
      'a: ramfs',
      expect.stringContaining('denied'),
      'a: 0',
    ])
  })

  test('a file, a port and a notice tell that a service is ready', async () => {
    const port = await freePort()
    const loaded = await lab.load({
      programs: [
        program('file', `sleep 0.2; touch /run/up; ${forever}`),
        program('port', `sleep 0.2; exec busybox nc -ll -p ${port} -e cat`),
        program('after', 'ls /run/up', { once: true }),
      ],
      services: [
        service('file', { ready: { kind: 'file', path: '/run/up', withinMs: 30_000 } }),
        service('port', { ready: { kind: 'port', port, withinMs: 30_000 } }),
        service('after', { after: ['file', 'port'] }),
      ],
    })
    expect(loaded).toMatchObject({ kind: 'ready' })
    expect(lab.output).toContain('after: /run/up')
  })
})
