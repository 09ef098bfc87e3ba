/** Asks the agent of a state folder. Format: spec/agent.md §4. */

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { RecoveryError } from '../../error.ts'
import { statePaths } from '../state/folder.ts'
import { ANSWER_LINE_BYTES_MAX, linesOf, sayLine } from './lines.ts'
import type { ControlRequest } from './requests.ts'

/** A line of an agent. */
export interface ControlLine {
  readonly kind: string
  readonly [member: string]: unknown
}

export interface AskOptions {
  /** Each line before the last. */
  readonly onLine?: (line: ControlLine) => void
  readonly signal?: AbortSignal
}

/** @returns Undefined when no agent listens. */
export async function connectAgent(state: string): Promise<Socket | undefined> {
  const socket = connect(statePaths(state).socket)
  try {
    await once(socket, 'connect')
    return socket
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    if (['ENOENT', 'ECONNREFUSED', 'ECONNRESET', 'EAGAIN'].includes(code)) return undefined
    throw new RecoveryError('AGENT', {
      message: `The agent of ${state} cannot be asked: ${(error as Error).message}`,
      ...(code === 'EACCES' && { hint: 'Ask as the user that it runs as.' }),
      cause: error,
    })
  }
}

/**
 * Asks, and waits for the last line.
 *
 * @returns Its members.
 * @throws {@link RecoveryError} what the agent says, or `AGENT` when none listens or it ends before it answered; the signal's reason.
 */
export async function askAgent(state: string, request: ControlRequest, options: AskOptions = {}): Promise<ControlLine> {
  const socket = await connectAgent(state)
  if (socket === undefined)
    throw new RecoveryError('AGENT', {
      message: `No agent runs for ${state}.`,
      hint: `Start it: reprise recovery boot --state ${state}, or systemctl start reprise-recovery`,
    })
  return await askAt(socket, request, options)
}

export async function askAt(socket: Socket, request: ControlRequest, options: AskOptions): Promise<ControlLine> {
  const { onLine, signal } = options
  const stop = (): void => void socket.destroy()
  signal?.addEventListener('abort', stop)
  try {
    signal?.throwIfAborted()
    sayLine(socket, request)
    for await (const text of linesOf(socket, ANSWER_LINE_BYTES_MAX)) {
      const line = JSON.parse(text) as ControlLine
      if (line.kind === 'done') return line
      if (line.kind === 'failed') throw failureOf(line)
      onLine?.(line)
    }
  } catch (error) {
    signal?.throwIfAborted()
    if (error instanceof RecoveryError) throw error
    throw gone(error)
  } finally {
    signal?.removeEventListener('abort', stop)
    socket.destroy()
  }
  signal?.throwIfAborted()
  throw gone(undefined)
}

function gone(cause: unknown): RecoveryError {
  return new RecoveryError('AGENT', {
    message: 'The agent ended before it answered.',
    hint: 'See its log: journalctl -u reprise-recovery, or agent.log in its folder.',
    cause,
  })
}

function failureOf({ code, text, hint }: ControlLine): RecoveryError {
  const details = { message: String(text), ...(typeof hint === 'string' && { hint }) }
  return new RecoveryError(RecoveryError.isCode(code) ? code : 'AGENT', details)
}
