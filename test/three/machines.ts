/**
 * Three machines out of one: namespaces of their own for processes, files and network, a TPM each at /dev/tpmrm0, a
 * bridge between them, and power that can be cut. What they are not: another kernel, and systemd.
 */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
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

/** Machines that are off. `addresses`: by name, in one /24. */
export async function openMachines(addresses: Readonly<Record<string, string>>): Promise<Machines> {
  // Their disks are in memory: a file system that can stand under an overlay.
  const folder = mkdtempSync('/dev/shm/reprise-three-')
  for (const name of Object.keys(addresses)) {
    const upper = join(folder, name, 'upper')
    for (const path of ['root', 'srv/database', 'usr/local/bin']) mkdirSync(join(upper, path), { recursive: true })
    mkdirSync(join(folder, name, 'tools'))
    compile('terminal', join(folder, name, 'tools/terminal'))
    cpSync(join(HERE, 'systemctl.sh'), join(upper, 'usr/local/bin/systemctl'))
    cpSync(join(HERE, 'sudo.sh'), join(upper, 'usr/local/bin/sudo'))
    execFileSync('chmod', ['755', ...['systemctl', 'sudo'].map((tool) => join(upper, 'usr/local/bin', tool))])
    execFileSync('chown', ['105:113', join(upper, 'srv/database')])
    await swtpm.manufactureBare(join(upper, 'tpm'))
  }
  const bridge = spawn('unshare', ['--net', '--kill-child', 'sleep', 'infinity'], { stdio: 'ignore' })
  const running = new Map<string, ChildProcess>()
  await once(bridge, 'spawn')
  await inNetwork(bridge.pid, 'until ip link add hub type bridge; do sleep 0.1; done; ip link set hub up')

  const innermost = (name: string): number => {
    const pid = running.get(name)?.pid
    if (pid === undefined) throw new Error(`${name} is off`)
    return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(' ')[0])
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
        const inside = [
          '-t',
          String(innermost(name)),
          '-m',
          '-n',
          '-p',
          '-u',
          '--',
          'sh',
          '-euc',
          `cd /root; ${script}`,
        ]
        const env = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root' }
        const { stdout, stderr } = await run('nsenter', inside, { env, maxBuffer: 1 << 24 })
        return `${stdout}${stderr}`
      },
    }),
    async powerOn(name, isPlugged = true) {
      const words = ['--fork', '--pid', '--mount', '--net', '--uts', '--kill-child']
      const child = spawn('unshare', [...words, 'sh', join(HERE, 'machine.sh'), join(folder, name), name], {
        stdio: ['ignore', 'ignore', 'pipe'],
      })
      let said = ''
      child.stderr?.on('data', (bytes: Buffer) => (said = `${said}${bytes.toString()}`.slice(-2000)))
      running.set(name, child)
      await once(child, 'spawn')
      const isOn = (): boolean => {
        if (child.exitCode !== null) throw new Error(`${name} does not come up: ${said}`)
        try {
          return existsSync(`/proc/${innermost(name)}/root/run/plug`)
        } catch {
          return false
        }
      }
      while (!isOn()) await sleepMs(50)
      const pid = innermost(name)
      if (isPlugged) {
        const link = `ip link add ${name} type veth peer name eth0 netns ${pid} && ip link set ${name} master hub up`
        await inNetwork(bridge.pid, link)
        await inNetwork(pid, `ip addr add ${addresses[name]}/24 dev eth0 && ip link set eth0 up`)
      } else await inNetwork(pid, `ip addr add ${addresses[name]}/32 dev lo`)
      execFileSync('touch', [`/proc/${pid}/root/run/plugged`])
      while (!existsSync(`/proc/${pid}/root/run/on`)) await sleepMs(50)
    },
    powerCut,
    async [Symbol.asyncDispose]() {
      for (const name of Object.keys(addresses)) await powerCut(name)
      bridge.kill('SIGKILL')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function inNetwork(pid: number | undefined, script: string): Promise<void> {
  await run('nsenter', ['-t', String(pid), '-n', '--', 'sh', '-c', script])
}
