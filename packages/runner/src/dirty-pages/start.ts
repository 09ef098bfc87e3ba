/**
 * The scanner process as the main thread has it: whether there can be one, its start and its end. What the machine's
 * thread says to it: scanner-client.ts. Why it is made so: docs/decisions/0007.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, openSync, readFileSync, readlinkSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { RunnerError } from '../error.ts'

/** For debugging and for tests: `auto` compares small memories, and others where the kernel cannot be asked. */
export type DirtyPagesChoice = 'auto' | 'kernel' | 'compare'

/**
 * What a run uses that was not told otherwise: the environment variable `REPRISE_DIRTY_PAGES`.
 *
 * @throws RunnerError `USAGE` when that means nothing.
 */
export function dirtyPagesChoice(): DirtyPagesChoice {
  const wanted = process.env['REPRISE_DIRTY_PAGES'] ?? 'auto'
  if (wanted === 'auto' || wanted === 'kernel' || wanted === 'compare') return wanted
  throw new RunnerError('USAGE', {
    message: `REPRISE_DIRTY_PAGES=${wanted} means nothing`,
    hint: 'set it to auto, kernel or compare, or leave it out',
  })
}

export interface Scanner {
  readonly pid: number
  stop(): void
}

const READY_MS_MAX = 10_000

/** Where `tools/setup.sh` puts what it compiles: dist/dirty-pages, seen from the source and from a bundle in dist/. */
function compiledFile(name: string): string {
  const up = import.meta.url.endsWith('.ts') ? '../../../../dist' : '..'
  return fileURLToPath(new URL(`${up}/dirty-pages/${name}`, import.meta.url))
}

/** @throws Error whose message is a clause: why there is none here. */
export async function startScanner(): Promise<Scanner> {
  if (process.platform !== 'linux') throw new Error('only Linux can be asked which pages were written')
  const absent = readText(compiledFile('absent'))
  if (absent !== undefined) throw new Error(absent.trim())
  const userfaultfd = ownUserfaultfd()
  const pagemap = openSync('/proc/self/pagemap', 'r')
  let child: ChildProcess
  try {
    const stdio = ['ignore', 'pipe', 'ignore', userfaultfd, pagemap] as const
    child = spawn(compiledFile('scanner'), [String(process.pid)], { stdio: [...stdio] })
  } finally {
    closeSync(pagemap)
  }
  try {
    await ready(child)
  } catch (error) {
    child.kill('SIGKILL')
    throw error
  }
  const { pid } = child
  if (pid === undefined) throw new Error('the scanner has no process')
  return { pid, stop: () => void child.kill('SIGKILL') }
}

/** The descriptor that preload.c made when this process began. */
function ownUserfaultfd(): number {
  const text = process.env['REPRISE_USERFAULTFD']
  if (text === undefined) throw new Error('Node was not started by ./reprise, which prepares it')
  if (!/^\d{1,9}$/.test(text)) throw new Error(text)
  let target: string | undefined
  try {
    target = readlinkSync(`/proc/self/fd/${text}`)
  } catch {
    // Another process had it, which started this one.
  }
  if (target !== 'anon_inode:[userfaultfd]')
    throw new Error('Node was started by another one that ./reprise had prepared')
  return Number(text)
}

/** It is there when it has said so; then nothing of it keeps this process from ending. */
async function ready(child: ChildProcess): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const timer = setTimeout(() => reject(new Error('the scanner did not start in time')), READY_MS_MAX)
  child.once('error', (error) => reject(new Error(`the scanner cannot be started (${error.message})`)))
  child.once('exit', (code, signal) => reject(new Error(`the scanner ended at once (${signal ?? code})`)))
  child.stdout?.once('data', () => resolve())
  try {
    await promise
  } finally {
    clearTimeout(timer)
    child.stdout?.destroy()
    child.unref()
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
