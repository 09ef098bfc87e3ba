/** Processes that the kernel can be asked about, as ./reprise starts them. */

import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import type { Answer, Case } from './machine.child.ts'

export const ROOT: string = resolve(import.meta.dirname, '../..')
const COMPILED = join(ROOT, 'dist', 'dirty-pages')
export const SCANNER: string = join(COMPILED, 'scanner')
const ANSWER_BYTES_MAX = 64 << 20

export interface Folder extends AsyncDisposable {
  readonly path: string
}

export async function temporaryFolder(): Promise<Folder> {
  const path = await mkdtemp(join(tmpdir(), 'reprise-dirty-pages-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

const prepared = (): NodeJS.ProcessEnv => ({ ...process.env, LD_PRELOAD: join(COMPILED, 'preload.so') })
const script = (name: string): string => join(import.meta.dirname, name)

/** Runs a script of this folder in a prepared process. @returns The JSON that it prints. */
export async function runPrepared<T>(name: string, args: readonly string[], env = prepared()): Promise<T> {
  const { stdout } = await promisify(execFile)(process.execPath, [script(name), ...args], {
    env,
    maxBuffer: ANSWER_BYTES_MAX,
  })
  return JSON.parse(stdout) as T
}

/** Runs guests, by default in a process that is prepared. */
export async function runGuests(folder: Folder, cases: readonly Case[], env = prepared()): Promise<Answer[][]> {
  const path = join(folder.path, 'cases.json')
  await writeFile(path, JSON.stringify(cases))
  return await runPrepared('machine.child.ts', [path], env)
}

export async function startGuests(folder: Folder, cases: readonly Case[]): Promise<ChildProcess> {
  const path = join(folder.path, 'cases.json')
  await writeFile(path, JSON.stringify(cases))
  return spawn(process.execPath, [script('machine.child.ts'), path], {
    env: prepared(),
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}
