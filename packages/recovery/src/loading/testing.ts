/** Images for tests: a folder in memory with a shell and services; and what happened while they were loaded. */

import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { makeFileSystem } from '../sealing/image/build.ts'
import type { Service } from '../types.ts'
import { namespaceLoader } from './namespace.ts'
import { encodePrograms, type Program, type Volume } from './programs.ts'
import type { Loaded, LoadRequest } from './types.ts'

export const isRoot = process.getuid?.() === 0

/** A folder in memory. */
export interface Room extends Disposable {
  readonly path: string
}

export function memoryRoom(): Room {
  const path = mkdtempSync('/dev/shm/reprise-loading-')
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

export function program(name: string, script: string, more: Partial<Program> = {}): Program {
  const command = ['/bin/busybox', 'sh', '-c', script]
  return {
    name,
    command,
    environment: { PATH: '/bin' },
    directory: '/',
    uid: 0,
    gid: 0,
    once: false,
    stopWithinMs: 10_000,
    ...more,
  }
}

export function service(name: string, more: Partial<Service> = {}): Service {
  return { name, after: [], ready: { kind: 'started' }, credentials: [], ...more }
}

const TOOLS = [
  'sh',
  'sleep',
  'cat',
  'ls',
  'id',
  'stat',
  'touch',
  'env',
  'hostname',
  'sync',
  'mount',
  'poweroff',
  'kill',
]

/** A tree with busybox and the services; a volume at `/usr` finds its programs and libraries. */
export function imageTree(room: Room, programs: readonly Program[], volumes: readonly Volume[] = []): string {
  const tree = join(room.path, 'tree')
  for (const folder of ['bin', 'etc/reprise', 'var', 'usr']) mkdirSync(join(tree, folder), { recursive: true })
  copyFileSync('/usr/bin/busybox', join(tree, 'bin/busybox'))
  for (const name of TOOLS) symlinkSync('busybox', join(tree, 'bin', name))
  for (const name of ['lib', 'lib64']) symlinkSync(`usr/${name}`, join(tree, name))
  writeFileSync(join(tree, 'etc/reprise/services.json'), encodePrograms({ programs, volumes }))
  return tree
}

export interface Given {
  readonly programs: readonly Program[]
  readonly services: readonly Service[]
  readonly volumes?: readonly Volume[]
  readonly as?: 'folder' | 'erofs' | 'squashfs'
  readonly request?: Partial<LoadRequest>
}

export interface Lab {
  /** A new one for each test. */
  readonly room: Room
  /** What became of services, as `name state`. */
  readonly events: string[]
  /** What they said, as `name: line`. */
  readonly output: string[]
  readonly load: (given: Given) => Promise<Loaded>
}

/** Of the test runner. */
interface Hooks {
  readonly beforeEach: (before: () => void) => void
  readonly afterEach: (after: () => Promise<void>) => void
}

/** For the tests of a file. Each test's services are stopped after it. */
export function useLab({ beforeEach, afterEach }: Hooks): Lab {
  let room: Room
  const [events, output]: [string[], string[]] = [[], []]
  const stops: (() => Promise<void>)[] = []
  beforeEach(() => {
    room = memoryRoom()
    events.length = output.length = 0
  })
  afterEach(async () => {
    for (const stop of stops.splice(0)) await stop()
    // Fails when something is still mounted there.
    room[Symbol.dispose]()
  })
  const load = async ({ programs, services, volumes, as = 'folder', request }: Given): Promise<Loaded> => {
    const payload = await payloadOf(room, imageTree(room, programs, volumes), as)
    // As the agent has it, whose files are for nobody else.
    const before = process.umask(0o077)
    const loaded = await namespaceLoader
      .load({
        payload,
        services,
        credentialsOf: () => new Map(),
        onStatus: ({ name, state }) => void events.push(`${name} ${state}`),
        onOutput: (name, line) => void output.push(`${name}: ${line}`),
        signal: new AbortController().signal,
        ...request,
      })
      .finally(() => process.umask(before))
    if ('stop' in loaded) stops.push(loaded.stop)
    return loaded
  }
  return {
    get room() {
      return room
    },
    events,
    output,
    load,
  }
}

async function payloadOf(room: Room, tree: string, as: 'folder' | 'erofs' | 'squashfs'): Promise<string> {
  const payload = join(room.path, 'payload')
  if (as === 'folder') return tree
  if (as === 'erofs') await makeFileSystem({ folder: tree, target: payload, searchPath: '/usr/bin' })
  else execFileSync('/usr/bin/mksquashfs', [tree, payload, '-quiet', '-no-progress', '-all-root'])
  return payload
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}
