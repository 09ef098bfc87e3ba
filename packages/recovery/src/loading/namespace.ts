/** The loader `namespace`: the payload becomes the root of namespaces, and services run in it. Rules: spec/loading.md §5. */

import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { RecoveryError } from '../error.ts'
import { failureOf, holderAbsent, holderPath, type HolderPart, lost, startPart } from './holder.ts'
import { beside, type Payload, payloadKind, requireMemory } from './memory.ts'
import { parsePrograms, type Programs, PROGRAMS_BYTES_MAX, PROGRAMS_PATH } from './programs.ts'
import { runServices } from './run-services.ts'
import type { Loaded, Loader, LoadRequest } from './types.ts'

const UNPACK_WITHIN_MS = 3_600_000
const EPERM = 1
/** Debian's folders of programs are not all on every user's PATH. */
const PATH = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`

export const namespaceLoader: Loader = { name: 'namespace', load }

async function load(request: LoadRequest): Promise<Loaded> {
  const absent = holderAbsent()
  if (absent !== undefined) return { kind: 'unsupported', why: absent }
  const kind = await payloadKind(request.payload)
  if (kind === 'boot') {
    return { kind: 'unsupported', why: 'the payload is a kernel with its initrd; only the loader kexec takes that' }
  }
  await requireMemory(request.payload)
  request.signal.throwIfAborted()
  const held = await holdPayload(request.payload, kind)
  if (typeof held === 'string') return { kind: 'unsupported', why: held }
  try {
    const { programs, volumes } = await readPrograms(held.pid)
    for (const { host, at } of volumes) await bindVolume(held.pid, host, at)
    const running = await runServices({
      ...request,
      programs,
      namespaces: held.pid,
      notifyFolder: '/run/notify',
      credentialsFolder: '/run/credentials',
    })
    const stop = async (): Promise<void> => {
      await running.stop()
      await held.end()
    }
    return running.failed === undefined ? { kind: 'ready', stop } : { kind: 'failed', ...running.failed, stop }
  } catch (error) {
    await held.end()
    throw error
  }
}

/** A payload that is the root of namespaces. */
interface Held {
  readonly pid: number
  /** Ends all that runs in them. */
  readonly end: () => Promise<void>
}

/** @returns Why this machine cannot, as a clause. */
async function holdPayload(payload: string, kind: Exclude<Payload, 'boot'>): Promise<Held | string> {
  const made: string[] = []
  const folder = async (name: string): Promise<string> => {
    const path = await mkdtemp(join(beside(payload), name))
    made.push(path)
    return path
  }
  const clean = async (): Promise<void> => {
    for (const path of made) await rm(path, { recursive: true, force: true })
  }
  try {
    const mountPoint = await folder('reprise-root-')
    const first = await hold([mountPoint, hostname(), kind, payload])
    // No loop device, or no such file system in this kernel: what is in it becomes files.
    const held =
      kind !== 'folder' && 'failed' in first && first.what.startsWith('mount of the image')
        ? await hold([mountPoint, hostname(), 'folder', await unpack(payload, kind, await folder('reprise-files-'))])
        : first
    if (!('failed' in held)) {
      return {
        pid: held.pid,
        end: async () => {
          await held.part.end()
          await clean()
        },
      }
    }
    await clean()
    if (held.failed === EPERM) {
      return `namespaces and mounts are not permitted here (${held.what}); they need root with CAP_SYS_ADMIN, which containers do not give by default`
    }
    throw lost(['hold'], held.what)
  } catch (error) {
    await clean()
    throw error
  }
}

async function hold(
  args: readonly string[],
): Promise<{ readonly part: HolderPart; readonly pid: number } | { readonly failed: number; readonly what: string }> {
  const part = startPart(['hold', ...args])
  const line = await part.line()
  const [, pid] = /^ready (\d+) /.exec(line ?? '') ?? []
  if (pid !== undefined) return { part, pid: Number(pid) }
  await part.end()
  const { errno: failed, what } = failureOf(line) ?? { errno: 0, what: 'it ended at once' }
  return { failed, what }
}

/** @throws {@link RecoveryError} `IMAGE_TOOL` when the tool is missing or fails. */
async function unpack(payload: string, kind: 'erofs' | 'squashfs', target: string): Promise<string> {
  const [tool, args, debian] =
    kind === 'erofs'
      ? (['fsck.erofs', [`--extract=${target}`, '--overwrite', payload], 'erofs-utils'] as const)
      : (['unsquashfs', ['-quiet', '-no-progress', '-force', '-dest', target, payload], 'squashfs-tools'] as const)
  try {
    await promisify(execFile)(tool, args, { env: { PATH, LC_ALL: 'C' }, timeout: UNPACK_WITHIN_MS })
    return target
  } catch (cause) {
    const { code, stderr = '' } = cause as { code?: unknown; stderr?: string }
    const isMissing = code === 'ENOENT'
    throw new RecoveryError('IMAGE_TOOL', {
      message: isMissing
        ? `This kernel cannot mount ${kind} from a file, and ${tool}, which unpacks it, is not installed.`
        : `${tool} could not unpack the payload: ${stderr.trim().split('\n').slice(-3).join('; ')}`,
      hint: isMissing ? `sudo apt-get install ${debian}` : 'Look whether there is memory enough for what is in it.',
      cause,
    })
  }
}

/** @throws {@link RecoveryError} `SERVICES` when the image does not say how its services start. */
async function readPrograms(pid: number): Promise<Programs> {
  try {
    const { stdout } = await promisify(execFile)(holderPath(), ['read', String(pid), PROGRAMS_PATH], {
      encoding: 'buffer',
      maxBuffer: PROGRAMS_BYTES_MAX + 2,
    })
    return parsePrograms(stdout, `${PROGRAMS_PATH} of the image`)
  } catch (cause) {
    const { code, stderr } = cause as { code?: unknown; stderr?: Buffer }
    if (cause instanceof RecoveryError) throw cause
    throw new RecoveryError('SERVICES', {
      message: `${PROGRAMS_PATH} of the image ${code === 3 ? 'is missing' : `cannot be read (${String(stderr).trim()})`}.`,
      hint: 'Build the image with --services FILE.',
      cause,
    })
  }
}

async function bindVolume(pid: number, host: string, at: string): Promise<void> {
  const part = startPart(['bind', String(pid), host, at])
  const line = await part.line()
  await part.end()
  if (line === 'bound') return
  throw new RecoveryError('LOADING', {
    message: `The volume ${host} of this host cannot be seen at ${at} of the image: ${failureOf(line)?.what ?? 'no answer'}.`,
    hint: `Make it on this host, or mount it before; it is listed in ${PROGRAMS_PATH} of the image.`,
  })
}
