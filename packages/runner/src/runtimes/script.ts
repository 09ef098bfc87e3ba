/** Runs the script of a recipe, with everything that it may know and a log of all that it says. Rules: spec/runtime.md §1.2. */
import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { RunnerError, writeFailure } from '../error.ts'
import type { BuildFolder } from './folders.ts'
import type { Recipe } from './recipe.ts'

/** What a clock shows to a compiler: one moment for all, 2000-01-01. */
const SOURCE_DATE_EPOCH = '946684800'
const ENDING_MS = 5000
const LOG_TAIL_BYTES = 16_384
const LOG_TAIL_LINES = 12

export interface ScriptRequest {
  readonly recipe: Recipe
  readonly at: BuildFolder
  /** OUT of the base; empty without one. */
  readonly base: string
  readonly components: readonly string[]
  readonly jobs: number
  /** Held open by everything that the script starts. */
  readonly lock: number
  readonly signal: AbortSignal
  readonly onStep: (step: string) => void
}

/** @throws RunnerError `RUNTIME_BUILD` with the end of the log, `DISK_FULL` or `WRITE` for a log that cannot be written; the signal's reason. */
export async function runScript(request: ScriptRequest): Promise<void> {
  const { recipe, at, signal } = request
  const log = createWriteStream(at.log, { flags: 'a' })
  log.write(`\n=== ${recipe.title} ${recipe.digest}\n`)
  // A group of its own, so that Ctrl-C reaches the compilers through us alone, and then all of them.
  const child = spawn('sh', [join(recipe.folder, 'build.sh')], {
    cwd: at.work,
    detached: true,
    env: scriptEnvironment(request),
    stdio: ['ignore', 'pipe', 'pipe', request.lock],
  }) as ChildProcessByStdio<null, Readable, Readable>
  child.stdout.pipe(log, { end: false })
  child.stderr.pipe(log, { end: false })
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (line.startsWith('step: ')) request.onStep(line.slice('step: '.length))
  })
  const end = (): void => endGroup(child.pid)
  signal.addEventListener('abort', end)
  // A build of which nobody could say later what went wrong is not gone on with.
  let unwritten: Error | undefined
  log.on('error', (error) => {
    unwritten ??= error
    end()
  })
  try {
    if (signal.aborted) end()
    const [code] = (await once(child, 'close')) as [number | null]
    log.end()
    await finished(log).catch(() => {})
    signal.throwIfAborted()
    if (unwritten !== undefined) throw writeFailure(unwritten, at.log, 'the log of the build')
    if (code !== 0) throw await failed(request, code)
  } finally {
    signal.removeEventListener('abort', end)
  }
}

type WhatItKnows = Pick<ScriptRequest, 'recipe' | 'base' | 'components' | 'jobs'> & {
  readonly at: Pick<BuildFolder, 'empty' | 'temporary' | 'sources' | 'work' | 'out'>
}

/** All that a recipe's script may know of the machine and of the build. */
export function scriptEnvironment({ recipe, at, base, components, jobs }: WhatItKnows): NodeJS.ProcessEnv {
  return {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: at.empty,
    TMPDIR: at.temporary,
    LC_ALL: 'C.UTF-8',
    TZ: 'UTC',
    SOURCE_DATE_EPOCH,
    SOURCES: at.sources,
    PATCHES: recipe.folder,
    WORK: at.work,
    OUT: at.out,
    BASE: base,
    JOBS: String(jobs),
    WITH: components.join(' '),
  }
}

function endGroup(pid: number | undefined): void {
  if (pid === undefined) return
  const kill = (signal: NodeJS.Signals): void => {
    try {
      process.kill(-pid, signal)
    } catch {
      // All of them have ended.
    }
  }
  kill('SIGTERM')
  setTimeout(() => kill('SIGKILL'), ENDING_MS).unref()
}

async function failed({ recipe, at }: ScriptRequest, code: number | null): Promise<RunnerError> {
  return new RunnerError('RUNTIME_BUILD', {
    message: `the build of ${recipe.title} ended with ${code ?? 'a signal'}; the end of its log:\n${await endOfLog(at.log)}`,
    hint: `all of it is in ${at.log}; the next reprise runtime build ${recipe.name} goes on where this one was`,
    data: { log: at.log },
  })
}

async function endOfLog(path: string): Promise<string> {
  await using file = await open(path)
  const { size } = await file.stat()
  const start = Math.max(0, size - LOG_TAIL_BYTES)
  const { buffer, bytesRead } = await file.read(new Uint8Array(LOG_TAIL_BYTES), 0, LOG_TAIL_BYTES, start)
  const lines = new TextDecoder().decode(buffer.subarray(0, bytesRead)).trimEnd().split('\n')
  return lines
    .slice(-LOG_TAIL_LINES)
    .map((line) => `  ${line.slice(0, 300)}`)
    .join('\n')
}
