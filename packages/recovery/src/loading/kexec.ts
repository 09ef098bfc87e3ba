/** The loader `kexec`: the payload is a kernel with its initrd, which take this machine over. Rules: spec/loading.md §6. */

import { execFile } from 'node:child_process'
import { appendFile, mkdtemp, readFile, rm, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { readBootPayload } from './build/boot-payload.ts'
import { type CpioEntry, cpioArchive, padded } from './cpio.ts'
import { beside, payloadKind, requireMemory } from './memory.ts'
import type { Loaded, Loader, LoadRequest } from './types.ts'

const SWITCH = '/proc/sys/kernel/kexec_load_disabled'
const LOAD_WITHIN_MS = 600_000
/** Debian's folders of programs are not all on every user's PATH. */
const PATH = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`

export const kexecLoader: Loader = { name: 'kexec', load }

async function load(request: LoadRequest): Promise<Loaded> {
  const kind = await payloadKind(request.payload)
  if (kind !== 'boot') {
    return {
      kind: 'unsupported',
      why: `the payload is ${kind}, not a kernel with its initrd; use the loader namespace`,
    }
  }
  const missing = await whatIsMissing()
  if (missing !== undefined) return { kind: 'unsupported', why: missing }
  await requireMemory(request.payload)
  request.signal.throwIfAborted()
  const folder = await mkdtemp(join(beside(request.payload), 'reprise-kernel-'))
  try {
    const [kernel, initrd] = [join(folder, 'kernel'), join(folder, 'initrd')]
    const { commandLine } = await readBootPayload(request.payload, { kernel, initrd })
    await addCredentials(initrd, request)
    // The call that checks a kernel's signature, where this kernel has it; else the older one.
    await kexec(['--kexec-syscall-auto', '--load', kernel, `--initrd=${initrd}`, `--command-line=${commandLine}`])
  } catch (error) {
    const refusal = (error as { stderr?: string }).stderr
    if (refusal === undefined) throw error
    return {
      kind: 'unsupported',
      why: `this kernel takes no other one: ${refusal.trim().split('\n').slice(-3).join('; ')}`,
    }
  } finally {
    // The kernel has its own copy.
    await rm(folder, { recursive: true, force: true })
  }
  const stop = (): Promise<void> => kexec(['--unload'])
  return { kind: 'leaving', leave, stop }
}

async function leave(): Promise<never> {
  await kexec(['--exec'])
  // The system ends while that runs.
  return await new Promise<never>(() => undefined)
}

async function kexec(args: readonly string[]): Promise<void> {
  await promisify(execFile)('kexec', args, { env: { PATH, LC_ALL: 'C' }, timeout: LOAD_WITHIN_MS })
}

/** As a clause; undefined: nothing. */
async function whatIsMissing(): Promise<string | undefined> {
  const disabled = await readFile(SWITCH, 'utf8').catch(() => undefined)
  if (disabled === undefined) {
    return `this kernel was built without kexec (no ${SWITCH}); use one with CONFIG_KEXEC_FILE, or the loader namespace`
  }
  if (disabled.trim() !== '0') return `kexec was switched off until the next reset (${SWITCH} is ${disabled.trim()})`
  if (process.getuid?.() !== 0) return 'only root may load another kernel (CAP_SYS_BOOT)'
  const has = await promisify(execFile)('kexec', ['--version'], { env: { PATH } }).then(
    () => true,
    () => false,
  )
  return has ? undefined : 'kexec is not installed: sudo apt-get install kexec-tools'
}

/** Behind the initrd: the next kernel has them in memory, in /reprise/credentials, and nobody else has. */
async function addCredentials(initrd: string, { services, credentialsOf }: LoadRequest): Promise<void> {
  const entries: CpioEntry[] = []
  for (const { name, credentials } of services) {
    if (credentials.length === 0) continue
    const root = 'reprise/credentials'
    if (entries.length === 0) entries.push({ path: 'reprise', mode: 0o755 }, { path: root, mode: 0o700 })
    entries.push({ path: `${root}/${name}`, mode: 0o500 })
    for (const [credential, { bytes }] of credentialsOf(name))
      entries.push({ path: `${root}/${name}/${credential}`, mode: 0o400, content: bytes })
  }
  if (entries.length === 0) return
  await truncate(initrd, padded((await stat(initrd)).size))
  const archive = cpioArchive(entries)
  await appendFile(initrd, archive)
  archive.fill(0)
}
