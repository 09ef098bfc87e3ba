/** How services and loading end: what fails is named with its reason, and nothing is left. Rules: spec/loading.md. */

import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Secret } from '../sealing/secret.ts'
import { kexecLoader } from './kexec.ts'
import { namespaceLoader } from './namespace.ts'
import { imageTree, isRoot, memoryRoom, program, service, useLab } from './testing.ts'
import type { LoadRequest } from './types.ts'
import { vmLoader } from './vm.ts'

const lab = useLab({ beforeEach, afterEach })
const forever = 'exec sleep 1000'
const notify = { kind: 'notify', withinMs: 60_000 } as const
const late = { ...notify, withinMs: 400 }

const request = (payload: string, more: Partial<LoadRequest> = {}): LoadRequest => ({
  payload,
  services: [],
  credentialsOf: () => new Map(),
  onStatus: () => undefined,
  signal: new AbortController().signal,
  ...more,
})

describe.runIf(isRoot)('sd_notify', () => {
  const usr = [{ host: '/usr', at: '/usr' }]

  test("systemd's own tool tells that a service is ready", async () => {
    const script = `sleep 0.1; touch /tmp/before; /usr/bin/systemd-notify --status=warm --ready; ${forever}`
    const loaded = await lab.load({
      programs: [program('a', script, { uid: 12 }), program('b', 'ls /tmp/before', { once: true })],
      services: [service('a', { ready: notify }), service('b', { after: ['a'] })],
      volumes: usr,
    })
    expect(loaded).toMatchObject({ kind: 'ready' })
    expect(lab.output).toEqual(['b: /tmp/before'])
  })

  test('a status is no readiness, and is told when time is up', async () => {
    const loaded = await lab.load({
      programs: [program('a', `/usr/bin/systemd-notify --status='replaying log 3'; ${forever}`)],
      services: [service('a', { ready: { ...notify, withinMs: 3000 } })],
      volumes: usr,
    })
    expect(loaded).toMatchObject({
      kind: 'failed',
      why: 'a was not ready in time: no READY=1 came to its NOTIFY_SOCKET; its last status is "replaying log 3"',
    })
  })
})

describe.runIf(isRoot)('a service that does not come up', () => {
  test('is named with its reason and its last lines, and keeps back those after it, and no others', async () => {
    const loaded = await lab.load({
      programs: [
        program('bad', 'for i in 1 2 3 4 5 6 7 8 9; do echo line $i; done; echo out of luck >&2; exit 3'),
        program('after', forever),
        program('other', forever),
      ],
      services: [
        service('bad', { ready: notify }),
        service('after', { after: ['bad'] }),
        service('far', { after: ['after'] }),
        service('other'),
      ],
    })
    expect(loaded).toMatchObject({ kind: 'failed', service: 'bad' })
    const { why } = loaded as { why: string }
    expect(why).toMatch(/^bad ended with 3 before it was ready; it said last:\n {2}line 3\n/)
    expect(why).toContain('out of luck')
    expect(lab.events).toContain('other ready')
    expect(lab.events.filter((event) => /^(after|far) /.test(event))).toEqual(['after waiting', 'far waiting'])
  })

  test.each([
    ['there is no such program', { command: ['/bin/nothing'] }, {}, 'a cannot be started: /bin/nothing: No such file'],
    ['it is killed', {}, { ready: notify }, 'a was killed by signal 9 before it was ready'],
    ['a port stays closed', {}, { ready: { ...late, kind: 'port', port: 1 } }, 'in time: nothing answers at port 1'],
    [
      'a file does not come',
      {},
      { ready: { ...late, kind: 'file', path: '/etc/reprise/services.json' } },
      'in time: /etc/reprise/services.json is not there, or is that of before',
    ],
    ['it runs once and fails', { once: true }, {}, 'a was killed by signal 9'],
  ] as const)('because %s', async (_why, of, ready, says) => {
    const isKilled = says.includes('signal')
    const loaded = await lab.load({
      programs: [program('a', isKilled ? 'kill -9 $$' : forever, of)],
      services: [service('a', ready)],
    })
    expect(loaded).toMatchObject({ kind: 'failed', service: 'a', why: expect.stringContaining(says) as string })
    expect(lab.events.at(-1)).toBe('a failed')
  })

  test('because it is not in the image', async () => {
    const loaded = await lab.load({ programs: [program('b', forever)], services: [service('a')] })
    expect(loaded).toMatchObject({ kind: 'failed', why: 'a is not in the image, which has b' })
  })

  test('because its port is taken by something else', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    const { port } = server.address() as { port: number }
    const ready = { kind: 'port', port, withinMs: 60_000 } as const
    const loaded = await lab.load({ programs: [program('a', forever)], services: [service('a', { ready })] })
    server.close()
    expect(loaded).toMatchObject({ kind: 'failed', why: expect.stringContaining('taken by something else') as string })
  })

  test('and nothing else, for a credential that is too large', async () => {
    const loading = lab.load({
      programs: [program('a', forever)],
      services: [service('a', { credentials: ['key'] })],
      request: { credentialsOf: () => new Map([['key', Secret.random((1 << 20) + 1)]]) },
    })
    await expect(loading).rejects.toMatchObject({ code: 'LOADING' })
  })

  test('because a credential is no name of a file', async () => {
    const loaded = await lab.load({
      programs: [program('a', forever)],
      services: [service('a', { credentials: ['../key'] })],
      request: { credentialsOf: () => new Map([['../key', Secret.random(8)]]) },
    })
    expect(loaded).toMatchObject({ kind: 'failed', why: expect.stringContaining("a credential's name") as string })
  })
})

describe.runIf(isRoot)('the end', () => {
  test('of a service that was ready is told, and it is not started again', async () => {
    const died = Promise.withResolvers<void>()
    const loaded = await lab.load({
      programs: [
        program('a', `until [ -e /run/go ]; do sleep 0.01; done; exit 4`),
        program('b', 'touch /run/go', { once: true }),
      ],
      services: [service('a'), service('b', { after: ['a'] })],
      request: {
        onStatus: ({ name, state }) => {
          lab.events.push(`${name} ${state}`)
          if (state === 'failed') died.resolve()
        },
      },
    })
    expect(loaded.kind).toBe('ready')
    await died.promise
    expect(lab.output).toEqual(['a: ended with 4'])
    expect(lab.events.filter((event) => event === 'a starting')).toHaveLength(1)
  })

  test('comes with SIGTERM, and with SIGKILL for who does not hear; what a service left running ends too', async () => {
    const stubborn = program('stubborn', 'trap "" TERM; while :; do sleep 1; done', { stopWithinMs: 200 })
    const polite = program('polite', 'trap "echo bye; exit 0" TERM; sleep 1000 & echo up; while :; do sleep 0.05; done')
    const loaded = await lab.load({ programs: [stubborn, polite], services: [service('stubborn'), service('polite')] })
    if (loaded.kind !== 'ready') throw new Error('it did not load')
    while (!lab.output.includes('polite: up')) await new Promise((resolve) => setTimeout(resolve, 20))
    await loaded.stop()
    expect(lab.output).toContain('polite: bye')
    expect(lab.events.slice(-2).toSorted()).toEqual(['polite stopped', 'stubborn stopped'])
  })

  test('of loading stops what was started', async () => {
    const ending = new AbortController()
    const loading = lab.load({
      programs: [program('a', forever), program('b', forever)],
      services: [service('a'), service('b', { after: ['a'], ready: notify })],
      request: {
        signal: ending.signal,
        onStatus: ({ name, state }) => {
          lab.events.push(`${name} ${state}`)
          if (name === 'b' && state === 'starting') setTimeout(() => ending.abort(new Error('enough')), 100)
        },
      },
    })
    await expect(loading).rejects.toThrow('enough')
    expect(lab.events.slice(-2)).toEqual(['b stopped', 'a stopped'])
  })

  test('of Reprise by kill -9 leaves no process, no mount and no loop device', async () => {
    using room = memoryRoom()
    const tree = imageTree(room, [program('a', `echo up; ${forever}`)])
    const script = `import { namespaceLoader } from ${JSON.stringify(join(import.meta.dirname, 'index.ts'))}
      await namespaceLoader.load({ payload: ${JSON.stringify(tree)}, credentialsOf: () => new Map(), onStatus: () => {},
        services: [{ name: 'a', after: [], ready: { kind: 'started' }, credentials: [] }],
        onOutput: (_, line) => console.log(line), signal: new AbortController().signal })`
    const reprise = spawn(process.execPath, ['--input-type=module-typescript', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await new Promise((resolve) => reprise.stdout.once('data', resolve))
    const [holder] = descendants(reprise.pid as number).filter(({ command }) => command.includes(room.path))
    expect(holder.command).toContain('hold')
    const all = descendants(reprise.pid as number).map(({ pid }) => pid)
    reprise.kill('SIGKILL')
    while (all.some((pid) => existsSync(`/proc/${pid}/root`))) await new Promise((resolve) => setTimeout(resolve, 20))
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(room.path)
  })
})

describe('what cannot be loaded', () => {
  test('a file system by kexec, a kernel without kexec, and anything by a virtual machine', async () => {
    using room = memoryRoom()
    const tree = imageTree(room, [])
    const refused = await kexecLoader.load(request(tree))
    expect(refused).toEqual({ kind: 'unsupported', why: expect.stringContaining('loader namespace') as string })
    expect(await vmLoader.load(request(tree))).toMatchObject({ kind: 'unsupported' })
    const payload = join(room.path, 'payload')
    writeFileSync(payload, 'reprise/boot/v1\n')
    const hasKexec = existsSync('/proc/sys/kernel/kexec_load_disabled')
    if (!hasKexec)
      expect(await kexecLoader.load(request(payload))).toMatchObject({
        why: expect.stringContaining('CONFIG_KEXEC_FILE') as string,
      })
  })

  test.runIf(isRoot)('a plain payload on a disk', async () => {
    // A folder of this repository; wherever that is, it is not in memory.
    await expect(namespaceLoader.load(request(import.meta.dirname))).rejects.toMatchObject({
      code: 'LOADING',
      message: expect.stringContaining('is not in memory') as string,
    })
  })

  test('what is no file system', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'reprise-loading-'))
    const payload = join(folder, 'payload')
    await expect(namespaceLoader.load(request(payload))).rejects.toMatchObject({ code: 'IMAGE' })
    writeFileSync(payload, 'nothing')
    await expect(namespaceLoader.load(request(payload))).rejects.toThrow('is neither EROFS nor SquashFS')
    writeFileSync(payload, 'reprise/boot/v1\n')
    expect(await namespaceLoader.load(request(payload))).toMatchObject({ kind: 'unsupported' })
    rmSync(folder, { recursive: true })
  })

  test.runIf(isRoot)('a tree that does not say how its services start', async () => {
    using room = memoryRoom()
    const tree = join(room.path, 'tree')
    mkdirSync(tree)
    await expect(namespaceLoader.load(request(tree))).rejects.toThrow(
      '/etc/reprise/services.json of the image is missing',
    )
    mkdirSync(join(tree, 'etc/reprise'), { recursive: true })
    writeFileSync(join(tree, 'etc/reprise/services.json'), '{}')
    await expect(namespaceLoader.load(request(tree))).rejects.toMatchObject({ code: 'SERVICES' })
  })

  test.runIf(isRoot)('a volume that this host has not', async () => {
    const volumes = [{ host: '/srv/there-is-no-such', at: '/srv' }]
    await expect(lab.load({ programs: [], services: [], volumes })).rejects.toThrow(
      'The volume /srv/there-is-no-such of this host cannot be seen at /srv',
    )
  })
})

interface Process {
  readonly pid: number
  readonly command: string
}

function descendants(pid: number): Process[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)
  return children.flatMap((child) => [
    { pid: child, command: readFileSync(`/proc/${child}/cmdline`, 'latin1').replaceAll('\0', ' ') },
    ...descendants(child),
  ])
}
