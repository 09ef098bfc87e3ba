/** Asks an agent at its socket. Truth: spec/agent.md §4. */
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { join } from 'node:path'
import { RecoveryError } from '../error.ts'

export interface AgentLine {
  readonly kind: string
  readonly [member: string]: unknown
}

/** @returns The last line, of kind `done`. @throws RecoveryError `LABORATORY` when it fails, or nobody answers in time. */
export async function askAgent(
  state: string,
  request: { readonly ask: string; readonly [member: string]: unknown },
  withinMs: number,
  onLine: (line: AgentLine) => void = () => undefined,
): Promise<AgentLine> {
  const socket = connect(join(state, 'agent.sock'))
  const timer = setTimeout(() => socket.destroy(new Error(`no answer within ${withinMs} ms`)), withinMs)
  try {
    socket.write(`${JSON.stringify(request)}\n`)
    let failed: unknown
    socket.on('error', (error) => (failed = error))
    for await (const text of createInterface({ input: socket })) {
      const line = JSON.parse(text) as AgentLine
      if (line.kind === 'done') return line
      if (line.kind === 'failed') throw new Error(`${String(line['code'])}: ${String(line['text'])}`)
      onLine(line)
    }
    throw failed ?? new Error('it closed the connection')
  } catch (cause) {
    throw new RecoveryError('LABORATORY', {
      message: `the agent at ${state} does not do ${request.ask}: ${(cause as Error).message}`,
      cause,
    })
  } finally {
    clearTimeout(timer)
    socket.destroy()
  }
}
