/**
 * Three machines out of one: namespaces of their own for processes, files and network, a TPM each at /dev/tpmrm0, a
 * bridge between them, and power that can be cut. What they are not: another kernel, and systemd.
 */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleepMs } from 'node:timers/promises'
import { promisify } from 'node:util'
import { swtpm } from '@reprise/tpm'
import { ROOT } from '../command/room.ts'

const HERE = join(ROOT, 'test/three')
const run = promisify(execFile)

export interface Machine {
  readonly name: string
  /** Its root, as it is changed: files are put here and taken from here. */
  readonly disk: string
  /** Runs a script as root, in `/root`. @returns What it printed. */
  readonly sh: (script: string) => Promise<string>
}

export interface Machines extends AsyncDisposable {
  readonly of: (name: string) => Machine
  /** @param isPlugged - Whether its network reaches the others. */
  readonly powerOn: (name: string, isPlugged?: boolean) => Promise<void>
  /** Everything in it ends in this moment, its TPM too. */
  readonly powerCut: (name: string) => Promise<void>
}

/** Compiles a program of this folder. */
export function compile(name: 'terminal' | 'service', target: string): void {
  execFileSync('cc', ['-Wall', '-Wextra', '-Werror', '-O1', '-static', '-o', target, join(HERE, `${name}.c`)])
}

/** A disk with what the guide wants of systemd and sudo, and a new TPM. */
async function furnish(machine: string): Promise<void> {
  const upper = join(machine, 'upper')
  for (const path of ['root', 'srv/database', 'usr/local/bin']) mkdirSync(join(upper, path), { recursive: true })
  mkdirSync(join(machine, 'tools'))
  compile('terminal', join(machine, 'tools/terminal'))
  for (const tool of ['systemctl', 'sudo']) {
    const target = join(upper, 'usr/local/bin', tool)
    cpSync(join(HERE, `${tool}.sh`), target)
    chmodSync(target, 0o755)
  }
  chownSync(join(upper, 'srv/database'), 105, 113)
  await swtpm.manufactureBare(join(upper, 'tpm'))
}

/** Machines that are off. `addresses`: by name, in one /24. */
export async function openMachines(addresses: Readonly<Record<string, string>>): Promise<Machines> {
  // Their disks are in memory: a file system that can stand under an overlay.
  const folder = mkdtempSync('/dev/shm/reprise-three-')
  for (const name of Object.keys(addresses)) await furnish(join(folder, name))
  const bridge = await openBridge()
  const running = new Map<string, ChildProcess>()
  const innermost = (name: string): number => {
    const child = running.get(name)
    if (child === undefined) throw new Error(`${name} is off`)
    return firstProcess(child)
  }
  const powerCut = async (name: string): Promise<void> => {
    const child = running.get(name)
    if (child === undefined) return
    running.delete(name)
    const ended = once(child, 'exit')
    // Of a process namespace that loses its first process the kernel ends all.
    child.kill('SIGKILL')
    await ended
    await inNetwork(bridge.pid, `ip link delete ${name} 2> /dev/null || true`)
  }
  return {
    of: (name) => ({
      name,
      disk: join(folder, name, 'upper'),
      sh: async (script) => {
        const inside = ['-m', '-n', '-p', '-u', '--', 'sh', '-euc', `cd /root; ${script}`]
        const env = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root' }
        const words = ['-t', String(innermost(name)), ...inside]
        const { stdout, stderr } = await run('nsenter', words, { env, maxBuffer: 1 << 24 })
        return `${stdout}${stderr}`
      },
    }),
    async powerOn(name, isPlugged = true) {
      const child = await boot(join(folder, name), name)
      running.set(name, child)
      const pid = firstProcess(child)
      if (isPlugged) {
        const link = `ip link add ${name} type veth peer name eth0 netns ${pid} && ip link set ${name} master hub up`
        await inNetwork(bridge.pid, link)
        await inNetwork(pid, `ip addr add ${addresses[name]}/24 dev eth0 && ip link set eth0 up`)
      } else await inNetwork(pid, `ip addr add ${addresses[name]}/32 dev lo`)
      writeFileSync(join(runOf(pid), 'plugged'), '')
      while (!existsSync(join(runOf(pid), 'on'))) await sleepMs(50)
    },
    powerCut,
    async [Symbol.asyncDispose]() {
      for (const name of Object.keys(addresses)) await powerCut(name)
      bridge.kill('SIGKILL')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** A process whose network is what the machines are plugged into. */
async function openBridge(): Promise<ChildProcess> {
  const bridge = spawn('unshare', ['--net', '--kill-child', 'sleep', 'infinity'], { stdio: 'ignore' })
  await once(bridge, 'spawn')
  // Before that its network is the one of this machine.
  while (readlinkSync(`/proc/${bridge.pid}/ns/net`) === readlinkSync('/proc/self/ns/net')) await sleepMs(10)
  await inNetwork(bridge.pid, 'ip link add hub type bridge && ip link set hub up')
  return bridge
}

/** Power, up to where it waits to be plugged in. */
async function boot(machine: string, name: string): Promise<ChildProcess> {
  const words = ['--fork', '--pid', '--mount', '--net', '--uts', '--kill-child', 'sh', join(HERE, 'machine.sh')]
  const child = spawn('unshare', [...words, machine, name], { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr?.on('data', (bytes: Buffer) => (said = `${said}${bytes.toString()}`.slice(-2000)))
  await once(child, 'spawn')
  const waits = (): boolean => {
    try {
      return existsSync(join(runOf(firstProcess(child)), 'plug'))
    } catch {
      return false
    }
  }
  while (!waits()) {
    if (child.exitCode !== null) throw new Error(`${name} does not come up: ${said}`)
    await sleepMs(50)
  }
  return child
}

/** Its folder `/run`, seen from outside. */
function runOf(pid: number): string {
  return join('/proc', String(pid), 'root', 'run')
}

/** The first one of the namespaces of a machine. */
function firstProcess({ pid }: ChildProcess): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(' ')[0])
}

async function inNetwork(pid: number | undefined, script: string): Promise<void> {
  await run('nsenter', ['-t', String(pid), '-n', '--', 'sh', '-c', script])
}
