/** Processes that are measured: our own scripts, which measure themselves, and commands, whose time the shell tells. */

import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)

const OUTPUT_BYTES_MAX = 1 << 30

/** The command, as a person calls it. */
export const REPRISE: string = fileURLToPath(new URL('../reprise', import.meta.url))

/**
 * Runs a script of ours in a fresh Node with the same flags, and more where a subject and its baseline both want them.
 *
 * @returns The JSON that it prints.
 * @throws Error when it fails, and when it is stopped because it takes longer than `timeoutMs`.
 */
export async function runScript<T>(
  script: URL,
  args: readonly string[],
  { flags = [], timeoutMs = 0 }: { readonly flags?: readonly string[]; readonly timeoutMs?: number } = {},
): Promise<T> {
  const command = [...process.execArgv, ...flags, fileURLToPath(script), ...args]
  const { stdout } = await run(process.execPath, command, { timeout: timeoutMs, killSignal: 'SIGKILL' })
  return JSON.parse(stdout) as T
}

/** Runs a command with `--json`. @returns The document that it answers with. */
export async function runJson<T>(
  command: readonly string[],
  options: { readonly cwd: string; readonly env: NodeJS.ProcessEnv },
): Promise<T> {
  const [program, ...args] = command
  // What the program itself writes comes by stderr then, however much it is.
  return JSON.parse((await run(program, args, { ...options, maxBuffer: OUTPUT_BYTES_MAX })).stdout) as T
}

export interface Times {
  readonly wallS: number
  /** User and system time of the command and all processes that it waited for. */
  readonly cpuS: number
}

/** Runs a command to its end. @throws Error with its exit code and what it wrote when it fails. */
export async function timeCommand(
  command: readonly string[],
  options: { readonly cwd: string; readonly env?: NodeJS.ProcessEnv },
): Promise<Times> {
  // Only a shell adds up the CPU time of children; bash tells milliseconds.
  const script = 'TIMEFORMAT="%3R %3U %3S"; time { "$@" </dev/null >/dev/null 2>&3; }'
  const wrapped = `exec 3>&1; ${script}`
  try {
    const { stderr } = await run('bash', ['-c', wrapped, 'bench', ...command], options)
    const [wallS, userS, systemS] = stderr.trim().split(' ').map(Number)
    return { wallS, cpuS: userS + systemS }
  } catch (error) {
    const { code, stdout } = error as { code: unknown; stdout: string }
    const said = stdout.trim().split('\n').slice(-3).join(' ')
    throw new Error(`${command.join(' ')} ends with ${String(code)}: ${said}`, { cause: error })
  }
}
