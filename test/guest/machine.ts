/**
 * A Debian machine in QEMU with a TPM, for tests: its disk is made of packages, what it says comes over a second serial
 * line, and its power can be cut. Emulated (TCG), so that it runs everywhere; some 25 s from power to systemd.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { rolldown } from 'rolldown'

export const ROOT = resolve(import.meta.dirname, '../..')

/** What the machine has besides the essential packages. */
const PACKAGES = [
  ...['systemd', 'systemd-sysv', 'udev', 'kmod', 'linux-image-cloud-amd64', 'initramfs-tools', 'dracut-core'],
  ...[
    'busybox-static',
    'kexec-tools',
    'erofs-utils',
    'libatomic1',
    'libstdc++6',
    'zstd',
    'cpio',
    'mount',
    'util-linux',
  ],
]
const DISK_MIB = 2500
/** Of a machine that is quiet; a busy one takes as long as this. */
const SAYS_WITHIN_MS = 600_000

function run(program: string, ...args: string[]): void {
  execFileSync(program, args, { stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 1 << 28 })
}

/** A Debian tree; made once and kept until packages of the project are installed anew. */
export function debianTree(): string {
  const folder = join(ROOT, 'node_modules/.cache/guest')
  const key = createHash('sha256').update(PACKAGES.join(' ')).digest('hex').slice(0, 16)
  const tree = join(folder, key)
  if (existsSync(tree)) return tree
  mkdirSync(folder, { recursive: true })
  const making = mkdtempSync(join(folder, 'making-'))
  const skip = ['doc', 'man', 'locale', 'info'].map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`)
  const suite = 'bookworm'
  run(
    'mmdebstrap',
    '--variant=minbase',
    `--include=${PACKAGES.join(',')}`,
    ...skip,
    suite,
    making,
    'http://deb.debian.org/debian',
  )
  try {
    renameSync(making, tree)
  } catch (error) {
    // Another file of tests made it meanwhile.
    if (!existsSync(tree)) throw error
    rmSync(making, { recursive: true })
  }
  return tree
}

/** A folder of this test, removed with it. */
export interface Workshop extends Disposable {
  readonly path: string
  /** The machine's tree, with Reprise installed in it: a copy that may be changed. */
  readonly tree: string
}

export function openWorkshop(): Workshop {
  const path = mkdtempSync(join(tmpdir(), 'reprise-guest-'))
  const tree = join(path, 'tree')
  run('cp', '-a', '--reflink=auto', debianTree(), tree)
  run('sh', join(ROOT, 'system/install.sh'), '--root', tree)
  return { path, tree, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

/** Bundles a program of this folder into the machine; it finds what Reprise brings. @returns Its path there. */
export async function installProgram(tree: string, name: string): Promise<string> {
  await using build = await rolldown({
    input: join(import.meta.dirname, `${name}.ts`),
    platform: 'node',
    cwd: ROOT,
    logLevel: 'warn',
  })
  const path = `/usr/lib/reprise/dist/guest/${name}.cjs`
  await build.write({ file: join(tree, path), format: 'cjs', codeSplitting: false })
  return path
}

/** @returns Path of the disk. */
export function makeDisk({ path, tree }: Workshop): string {
  const disk = join(path, 'disk.img')
  run('mke2fs', '-q', '-t', 'ext4', '-L', 'root', '-d', tree, disk, `${DISK_MIB}M`)
  return disk
}

/** Of /boot of the tree. */
export function bootFile(tree: string, prefix: 'vmlinuz-' | 'initrd.img-'): string {
  const name = readdirSync(join(tree, 'boot')).find((file) => file.startsWith(prefix))
  if (name === undefined) throw new Error(`${tree} has no ${prefix}`)
  return join(tree, 'boot', name)
}

export interface Hardware {
  readonly folder: string
  readonly kernel: string
  readonly initrd: string
  readonly disk: string
  readonly commandLine: string
}

export interface Machine {
  /** Waits until the machine says a line that begins so, on its second serial line. @returns The rest of it. */
  readonly says: (begin: string) => Promise<string>
  /** As when the power goes: machine and TPM are killed. */
  readonly cutPower: () => Promise<void>
  /** Settled when the machine switched itself off. */
  readonly off: Promise<void>
}

/** Switches a machine on; its TPM and disk are those of the last time. */
export async function powerOn({ folder, kernel, initrd, disk, commandLine }: Hardware): Promise<Machine> {
  const tpm = join(folder, 'tpm')
  if (!existsSync(tpm)) {
    mkdirSync(tpm)
    run('swtpm_setup', '--tpm2', '--tpmstate', tpm, '--createek', '--overwrite')
  }
  const socket = join(tpm, 'sock')
  rmSync(socket, { force: true })
  const swtpm = spawn(
    'swtpm',
    ['socket', '--tpm2', '--tpmstate', `dir=${tpm}`, '--ctrl', `type=unixio,path=${socket}`],
    { stdio: 'ignore' },
  )
  while (!existsSync(socket)) await sleep(20)
  const [consoleLog, lines] = [join(folder, 'console.log'), join(folder, 'lines.log')]
  rmSync(lines, { force: true })
  const errors = openSync(join(folder, 'qemu.log'), 'a')
  const qemu = spawn(
    'qemu-system-x86_64',
    [
      ...['-machine', 'q35', '-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-m', '2048M'],
      ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
      ...['-serial', `file:${consoleLog}`, '-serial', `file:${lines}`, '-kernel', kernel, '-initrd', initrd],
      ...['-append', `console=ttyS0 panic=-1 mitigations=off quiet ${commandLine}`],
      ...['-drive', `file=${disk},if=virtio,format=raw`],
      ...[
        '-chardev',
        `socket,id=tpm,path=${socket}`,
        '-tpmdev',
        'emulator,id=tpm0,chardev=tpm',
        '-device',
        'tpm-tis,tpmdev=tpm0',
      ],
    ],
    { stdio: ['ignore', errors, errors] },
  )
  closeSync(errors)
  const ended = Promise.all([gone(qemu), gone(swtpm)])
  // Without its machine the TPM has nothing to do.
  void gone(qemu).then(() => swtpm.kill())
  return {
    says: (begin) => lineOf({ lines, consoleLog, qemu }, begin),
    cutPower: async () => {
      qemu.kill('SIGKILL')
      swtpm.kill('SIGKILL')
      await ended
    },
    off: ended.then(() => undefined),
  }
}

async function gone(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
}

async function lineOf(
  { lines, consoleLog, qemu }: { readonly lines: string; readonly consoleLog: string; readonly qemu: ChildProcess },
  begin: string,
): Promise<string> {
  const until = Date.now() + SAYS_WITHIN_MS
  for (;;) {
    const isOff = qemu.exitCode !== null || qemu.signalCode !== null
    const text = existsSync(lines) ? readFileSync(lines, 'latin1') : ''
    const found = text
      .split(/\r?\n/)
      .slice(0, -1)
      .find((line) => line.startsWith(begin))
    if (found !== undefined) return found.slice(begin.length).trim()
    if (isOff || Date.now() > until) {
      const console_ = existsSync(consoleLog) ? readFileSync(consoleLog, 'latin1').slice(-3000) : ''
      throw new Error(
        `the machine ${isOff ? 'went off and' : ''} never said ${begin}; it said:\n${text.slice(-3000)}\non its console:\n${console_}`,
      )
    }
    await sleep(200)
  }
}
