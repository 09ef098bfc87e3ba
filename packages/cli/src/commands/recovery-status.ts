/** `reprise recovery status`: how the fleet stands, as one of its hosts sees it. */
import { boardLines, boardView, parseSightings, type Sightings, SIGHTINGS_BYTES_MAX } from '@reprise/recovery/board'
import { RecoveryError } from '@reprise/recovery'
import { setTimeout as sleepMs } from 'node:timers/promises'
import { createContext } from '../context.ts'
import { EXIT_INTERRUPTED, EXIT_NO, EXIT_YES } from '../exit.ts'
import { boardStyle } from '../print/board-style.ts'

interface Options {
  readonly via: string
  readonly watch?: boolean
  readonly json?: boolean
}

const AGAIN_MS = 2000
const ANSWER_MS = 15_000

export async function action(options: object): Promise<number> {
  const { via, watch = false, json = false } = options as Options
  const { signal } = createContext()
  for (;;) {
    const view = boardView(await fetchSightings(via, signal))
    if (json) process.stdout.write(`${JSON.stringify({ schema: 'reprise/recovery-status-result/v1', ...view })}\n`)
    else show(boardLines(view, { style: boardStyle, hostsMax: watch ? rows() : 200 }), watch)
    if (!watch) return view.counts.serving === view.hosts.length ? EXIT_YES : EXIT_NO
    await sleepMs(AGAIN_MS, undefined, { signal }).catch(() => undefined)
    if (signal.aborted) return EXIT_INTERRUPTED
  }
}

async function fetchSightings(via: string, signal: AbortSignal): Promise<Sightings> {
  try {
    const timeout = AbortSignal.timeout(ANSWER_MS)
    const answer = await fetch(`http://${via}/sightings.json`, { signal: AbortSignal.any([signal, timeout]) })
    const text = await textOf(answer)
    if (!answer.ok) throw new Error(`it answers ${answer.status}: ${text.slice(0, 200).trim()}`)
    return parseSightings(text)
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof RecoveryError) throw error
    const { message, cause } = error as Error
    throw new RecoveryError('BOARD_SILENT', {
      message: `no board answers at ${via}: ${cause instanceof Error ? cause.message : message}`,
      hint: 'start an agent of the fleet with --board HOST:PORT, and name that address with --via',
      cause: error,
    })
  }
}

async function textOf(answer: Response): Promise<string> {
  const parts: Uint8Array[] = []
  let length = 0
  for await (const part of answer.body ?? []) {
    parts.push(part)
    length += part.length
    if (length > SIGHTINGS_BYTES_MAX) throw new Error(`it answers more than ${SIGHTINGS_BYTES_MAX} bytes`)
  }
  return Buffer.concat(parts).toString()
}

function show(lines: readonly string[], isWatched: boolean): void {
  const isScreen = isWatched && process.stdout.isTTY
  // One write for each picture: a terminal shows no half of one.
  const end = isWatched && !isScreen ? '\n' : ''
  process.stdout.write(`${isScreen ? '\u001b[H\u001b[2J' : ''}${lines.join('\n')}\n${end}`)
}

function rows(): number {
  return Math.max(5, (process.stdout.rows ?? 60) - 20)
}
