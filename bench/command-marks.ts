/** A whole `reprise` command that is watched from outside while a program works under it. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { type Mark, ROUND } from './marks.ts'

export interface Watched<T> {
  /** The command's own beginning, then the end of each round. */
  readonly marks: readonly Mark[]
  readonly answer: T
}

/** CPU seconds of all threads that a process has, to the nanosecond where the kernel tells it. */
function processSeconds(pid: number): number {
  let sum = 0
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    try {
      const [running] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')
      sum += Number(running) / 1e9
    } catch {
      // It ended meanwhile.
    }
  }
  return sum
}

/** Runs a command with `--json`; what its program writes comes by stderr then. @throws Error with what it said. */
export async function watchJson<T>(
  command: readonly string[],
  options: { readonly cwd: string; readonly env: NodeJS.ProcessEnv },
): Promise<Watched<T>> {
  const [program, ...args] = command
  const child = spawn(program, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
  const marks: Mark[] = [{ processS: 0, wallS: performance.now() / 1000 }]
  const text = { stdout: '', stderr: '', unread: '' }
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text.stdout += chunk))
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    // A pipe may bring the ends of several rounds at once, or half of a word.
    const ends = (text.unread + chunk).split(ROUND)
    text.unread = (ends.at(-1) ?? '').slice(1 - ROUND.length)
    for (let i = 1; i < ends.length && child.pid !== undefined; i++)
      marks.push({ processS: processSeconds(child.pid), wallS: performance.now() / 1000 })
    text.stderr = (text.stderr + chunk).slice(-2000)
  })
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0) throw new Error(`${command.join(' ').slice(0, 200)} ends with ${String(code)}: ${text.stderr}`)
  return { marks, answer: JSON.parse(text.stdout) as T }
}
