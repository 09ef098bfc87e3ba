/** What the commands of a host's agent share: starting it, and saying how it stands. */
import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { resolve } from 'node:path'
import { setTimeout as sleepMs } from 'node:timers/promises'
import { RecoveryError } from '@reprise/recovery'
import { connectAgent, type HostReport, statePaths } from '@reprise/recovery/agent'
import { duration, safe } from './print/format.ts'

export interface AgentSettings {
  readonly state: string
  readonly listen?: string
  readonly heartbeat: number
  readonly observe: number
  readonly image?: string
  readonly memory: string
  readonly json?: boolean
}

const START_MS = 60_000
const POLL_MS = 20
const AWAIT_MS = 200

/** Connects to the agent, which is started in the background when none runs. @throws RecoveryError `AGENT` with the end of its log. */
export async function reachAgent(settings: AgentSettings, signal: AbortSignal): Promise<Socket> {
  const found = await connectAgent(settings.state)
  if (found !== undefined) return found
  const { log } = statePaths(settings.state)
  const ended = launch(settings, log)
  let exit: number | string | null | undefined
  void ended.then((how) => (exit = how))
  for (const deadline = performance.now() + START_MS; performance.now() < deadline;) {
    const socket = await connectAgent(settings.state)
    if (socket !== undefined) return socket
    if (exit !== undefined) break
    await sleepMs(POLL_MS, undefined, { signal })
  }
  const lines = (await readFile(log, 'utf8').catch(() => '')).trimEnd().split('\n').slice(-5)
  throw new RecoveryError('AGENT', {
    message: exit === undefined ? 'The agent does not come up.' : `The agent ended with ${exit} at once.`,
    hint: `The end of ${log}:\n${lines.join('\n')}`,
  })
}

/** Connects to the agent that something else starts, as soon as it is there. @throws The signal's reason. */
export async function awaitAgent(state: string, signal: AbortSignal): Promise<Socket> {
  for (;;) {
    signal.throwIfAborted()
    const socket = await connectAgent(state)
    if (socket !== undefined) return socket
    await sleepMs(AWAIT_MS, undefined, { signal }).catch(() => undefined)
  }
}

function launch(
  { state, listen, heartbeat, observe, image, memory }: AgentSettings,
  log: string,
): Promise<number | string | null> {
  const words = ['recovery', 'witness', '--state', resolve(state), '--json']
  words.push('--heartbeat', `${heartbeat}ms`, '--observe', `${observe}ms`)
  if (listen !== undefined) words.push('--listen', listen)
  if (image !== undefined) words.push('--image', resolve(image), '--memory', memory)
  const output = openSync(log, 'a', 0o600)
  try {
    const program = [...process.execArgv, process.argv[1], ...words]
    const stdio = ['ignore', output, output] as const
    const child = spawn(process.execPath, program, { cwd: '/', detached: true, stdio: [...stdio] })
    child.unref()
    return new Promise((resolve) => {
      child.once('error', (error) => resolve(error.message))
      child.once('exit', (code, killedBy) => resolve(code ?? killedBy))
    })
  } finally {
    closeSync(output)
  }
}

/** A report for people: one line, and what would change it. */
export function reportLines(report: HostReport): string[] {
  const { host, state, verdict, shares, planVersion, epoch } = report
  const odds = verdict === null ? '' : `   ${oddsText(verdict.odds)}`
  const held = state === 'asking' || state === 'holding' ? `   ${shares.held} of ${shares.needed} shares` : ''
  return [`${host}   ${stateText(report)}   plan ${planVersion}, epoch ${epoch}${held}${odds}`, ...missingLines(report)]
}

function stateText({ state, isProvisioned, refusedBy }: HostReport): string {
  if (!isProvisioned) return 'not provisioned'
  return refusedBy === null ? state : `${state} (${refusedBy})`
}

function oddsText(odds: Readonly<Record<string, number>>): string {
  const likely = Object.entries(odds).toSorted(([, a], [, b]) => b - a)
  return likely
    .slice(0, 3)
    .map(([name, value]) => `${name} ${Number((100 * value).toPrecision(2))} %`)
    .join(', ')
}

/** Witnesses that gave nothing, by room and rack. */
function missingLines({ witnesses, change, isReleased }: HostReport): string[] {
  if (isReleased) return []
  const lines = witnesses
    .filter(({ share }) => share !== 'given')
    .map(({ host, zone, room, rack, status, refusals }) => {
      const why = refusals.map(({ rule, fact }) => `${rule}: ${fact}`).join('; ')
      return safe(`  ${host.padEnd(16)} ${zone} / ${room} / ${rack}   ${why || (status ?? 'not asked yet')}`)
    })
  return [...lines, ...change.map((text) => safe(`  would release it: ${text}`))]
}

const SHUTDOWNS = {
  clean: 'was shut down, as a signed marker says',
  orderly: 'its TPM was told, and there is no marker',
  lost: 'lost its power, or crashed: its TPM was not told',
  unknown: 'nobody can tell how',
} as const

/** How the host went down before this boot: each fact with its source, those that a key vouches for apart. */
export function shutdownLines({ shutdown, prior }: HostReport): string[] {
  const facts = Object.entries(prior).filter(([, { value }]) => value !== undefined)
  const group = (what: string, isSigned: boolean): string[] => {
    const said = facts.filter(([, { signed }]) => signed === isSigned)
    const texts = said.map(([name, { value, source }]) => `${name} ${String(value)} (${source})`)
    return texts.length === 0 ? [] : [safe(`    ${what} ${texts.join(', ')}`)]
  }
  return [`  went down: ${SHUTDOWNS[shutdown]}`, ...group('signed  ', true), ...group('unsigned', false)]
}

export function ageText(wallMs: number): string {
  return duration(Math.max(0, Date.now() - wallMs))
}
