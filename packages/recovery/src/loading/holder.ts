/** The holder, a program in C that does what Node has no call for: where it is, and how its parts are started. Protocol: spec/loading.md §5. */

import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { RecoveryError } from '../error.ts'

/** Namespaces by the process id of their first process, seen from here; 0 is where this process itself runs. */
export type Namespaces = number

/** What one waits for a part of the holder to say, in milliseconds; a busy machine takes some tens. */
const SAYS_WITHIN_MS = 30_000

/** Where `tools/setup.sh` puts it: dist/recovery, seen from the source and from a bundle in dist/. */
function compiledFile(name: string): string {
  const up = import.meta.url.endsWith('.ts') ? '../../../../dist' : '..'
  return fileURLToPath(new URL(`${up}/recovery/${name}`, import.meta.url))
}

/** Why there is none here, as a clause; undefined: there is. */
export function holderAbsent(): string | undefined {
  if (process.platform !== 'linux') return 'only Linux has namespaces; this is another system'
  if (existsSync(compiledFile('holder'))) return undefined
  const absent = compiledFile('absent')
  return existsSync(absent)
    ? readFileSync(absent, 'utf8').trim()
    : 'Reprise was not set up for it; run: sh tools/setup.sh holder'
}

export function holderPath(): string {
  return compiledFile('holder')
}

export interface HolderPart {
  readonly child: ChildProcess
  /** Its next line; undefined when it has ended. @throws {@link RecoveryError} `LOADING` when it says nothing for half a minute. */
  readonly line: () => Promise<string | undefined>
  /** All further lines. */
  readonly lines: AsyncIterable<string>
  /** Ends it, by the end of its standard input, and waits. */
  readonly end: () => Promise<void>
}

/** Starts a part that runs until its standard input ends. */
export function startPart(args: readonly string[]): HolderPart {
  // A group of its own: Ctrl-C is for Reprise, which then stops services in order.
  const child = spawn(holderPath(), args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true })
  child.stdin.on('error', () => undefined)
  let complaint = ''
  child.stderr.on('data', (bytes: Buffer) => {
    complaint = (complaint + bytes.toString()).slice(-1000)
  })
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve())
    child.once('error', () => resolve())
  })
  const reader = createInterface({ input: child.stdout, crlfDelay: Infinity })
  const lines = reader[Symbol.asyncIterator]()
  return {
    child,
    lines,
    line: async () => {
      const timeout = Promise.withResolvers<never>()
      const timer = setTimeout(() => timeout.reject(lost(args, 'it says nothing', complaint)), SAYS_WITHIN_MS)
      try {
        const { value, done } = await Promise.race([lines.next(), timeout.promise])
        return done ? undefined : value
      } finally {
        clearTimeout(timer)
      }
    },
    end: async () => {
      child.stdin.end()
      await ended
    },
  }
}

export function lost(args: readonly string[], what: string, complaint = ''): RecoveryError {
  return new RecoveryError('LOADING', {
    message: `The holder's part ${args[0]} failed: ${what}${complaint === '' ? '' : ` (${complaint.trim()})`}.`,
    hint: 'Look into the kernel log. Compile the holder anew: sh tools/setup.sh holder',
  })
}

/** What a part says that failed: errno and what, from `failed ERRNO WHAT`. */
export function failureOf(line: string | undefined): { readonly errno: number; readonly what: string } | undefined {
  const [, errno, what] = /^failed (\d+) (.*)$/s.exec(line ?? '') ?? []
  return errno === undefined ? undefined : { errno: Number(errno), what }
}
