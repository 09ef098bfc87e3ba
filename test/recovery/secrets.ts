/** Where no secret of a fleet may be: files, arguments, environments, dumps. */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { TestFleet } from './fleet.ts'

const isRoot = process.getuid?.() === 0
/** A dump without memory has the state of threads and little else. */
const DUMP_BYTES_MAX = 1 << 20

/** While all hosts serve. */
export function hidesSecrets(of: () => TestFleet): void {
  test.runIf(isRoot)('no credential and no key is in a file, an argument, an environment or a dump', async () => {
    const { lab } = of()
    expect(filesWithSecrets(of())).toEqual([])
    expect(processesWithSecrets(of())).toEqual([])
    const { filter, files } = await crashAgent(of(), 'b2-2')
    expect(filter).toBe(0)
    // Where a dump goes is the machine's to say; it comes here where the kernel's pattern is a plain name.
    const pattern = readFileSync('/proc/sys/kernel/core_pattern', 'latin1').trim()
    expect(files).toHaveLength(/^[^|/]+$/.test(pattern) ? 1 : 0)
    const contents = files.map((path) => readFileSync(path))
    expect(contents.filter((dump) => dump.length > DUMP_BYTES_MAX)).toEqual([])
    expect(contents.filter((dump) => dump.includes('reprise/recovery-host-report'))).toEqual([])
    for (const path of files) rmSync(path)
    await lab.powerCut(['b2-2'])
    await of().powerOn(['b2-2'])
    await of().released(['b2-2'])
  })
}

/** As it is, and as programs write it down. */
function formsOf(secret: Buffer): readonly Buffer[] {
  return [secret, Buffer.from(secret.toString('hex')), Buffer.from(secret.toString('base64').replace(/=+$/, ''))]
}

/** Passwords of all hosts and the keys of their images. */
function secretsOf({ lab, fleet }: TestFleet): readonly Buffer[] {
  const keys = [fleet.image, fleet.olderImage].flatMap((image) => (image === undefined ? [] : [image.keyPath]))
  const passwords = lab.ids.map((id) => Buffer.from(fleet.passwordOf(id)))
  return [...passwords, ...keys.map((path) => readFileSync(path))].flatMap(formsOf)
}

/** Names of files below the hosts' folders, TPM, state and log, that hold a secret in the clear; but not those that provisioning took them from. */
function filesWithSecrets(world: TestFleet): readonly string[] {
  const secrets = secretsOf(world)
  const files = world.lab.hosts.flatMap(({ folder }) =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.parentPath !== join(folder, 'secrets'))
      .map((entry) => join(entry.parentPath, entry.name)),
  )
  if (files.length < 10 * world.lab.ids.length) throw new Error(`only ${files.length} files were found`)
  return files.filter((path) => holds(path, secrets))
}

/** Arguments and environments of all processes of this machine. */
function processesWithSecrets(world: TestFleet): readonly string[] {
  const secrets = secretsOf(world)
  const paths = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => ['cmdline', 'environ'].map((name) => `/proc/${pid}/${name}`))
  return paths.filter((path) => holds(path, secrets))
}

function holds(path: string, secrets: readonly Buffer[]): boolean {
  let content: Buffer
  try {
    content = readFileSync(path)
  } catch {
    // A process, or an unfinished file, that is gone meanwhile.
    return false
  }
  return secrets.some((secret) => content.includes(secret))
}

interface Dump {
  /** What the kernel writes of its memory: nothing, when it is zero. */
  readonly filter: number
  /** Dumps that the crash left, where this machine writes them to the folder of the process. */
  readonly files: readonly string[]
}

/** Crashes the agent of a host, with no limit to its dump. Root only. */
async function crashAgent({ lab }: TestFleet, id: string): Promise<Dump> {
  const pid = lab.agentPid(id)
  const filter = Number.parseInt(readFileSync(`/proc/${pid}/coredump_filter`, 'latin1'), 16)
  execFileSync('prlimit', ['--pid', String(pid), '--core=unlimited'])
  process.kill(pid, 'SIGABRT')
  await lab.until('the agent crashed', () => Promise.resolve(!readdirSync('/proc').includes(String(pid))))
  const { folder } = lab.host(id)
  const files = readdirSync(folder).filter((name) => name.startsWith('core'))
  return { filter, files: files.map((name) => join(folder, name)) }
}
