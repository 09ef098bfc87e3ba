/** The board as lines for a terminal. Meaning is in words; a style only repeats it. */
import type { ServiceStatus } from '../channel/messages.ts'
import { type BoardView, type Estimate, type Group, type HostView, someNames, STANDINGS } from './view.ts'

export type Emphasis = Group | 'title' | 'quiet'

export interface TextOptions {
  /** Puts colour on a text, or leaves it as it is. */
  readonly style: (emphasis: Emphasis, text: string) => string
  /** Most hosts that get a line of their own. */
  readonly hostsMax: number
}

const PLAIN: TextOptions = { style: (_, text) => text, hostsMax: 40 }

/** @returns Lines without their ends. Texts in them come from other hosts: make them safe before a terminal sees them. */
export function boardLines(view: BoardView, options: Partial<TextOptions> = {}): readonly string[] {
  const { style, hostsMax } = { ...PLAIN, ...options }
  const lines = [
    `${style('title', view.fleet)}   plan version ${view.planVersion}   as ${view.by} sees it, ${timeOf(view.takenWallMs)}`,
    `  ${summary(view)}`,
    `  estimate    ${estimateText(view.estimate)}${view.usualMs === undefined ? '' : `; half of those that came back took ${span(view.usualMs)}`}`,
  ]
  if (view.alarms.length > 0) lines.push(style('title', 'alarms'))
  for (const { host, wallMs, text } of view.alarms.slice(0, hostsMax))
    lines.push(style('alarm', `  ${host.padEnd(12)} ${wallMs === undefined ? 'now      ' : timeOf(wallMs)}  ${text}`))
  lines.push(...hostLines(view, { style, hostsMax }))
  if (view.missing.length > 0) lines.push(style('title', 'shares missing, of all that wait'))
  for (const { where, why, witnesses } of view.missing)
    lines.push(`  ${where.padEnd(12)} ${why}: ${someNames(witnesses)}`)
  lines.push(...serviceLines(view, style))
  if (view.noise.length > 0) lines.push(style('title', 'to be expected'))
  for (const text of view.noise) lines.push(style('quiet', `  ${text}`))
  return lines
}

export function summary({ counts, hosts }: BoardView): string {
  const words: readonly [Group, string][] = [
    ['serving', 'serving'],
    ['coming', 'on their way'],
    ['waiting', 'waiting'],
    ['silent', 'silent'],
    ['alarm', 'in need of a person'],
  ]
  const said = words.filter(([group]) => counts[group] > 0).map(([group, word]) => `${counts[group]} ${word}`)
  return `${hosts.length} hosts: ${said.join(', ')}`
}

/** Those that serve or say nothing are named together; the others have a line each. */
function hostLines({ hosts }: BoardView, { style, hostsMax }: TextOptions): readonly string[] {
  const lines = [style('title', 'hosts')]
  let left = hostsMax
  for (const standing of STANDINGS) {
    const those = hosts.filter((host) => host.standing === standing)
    if (those.length === 0) continue
    if (standing === 'serving' || standing === 'silent') {
      lines.push(
        style(
          those[0].group,
          `  ${standing.padEnd(10)} ${someNames(
            those.map(({ host }) => host),
            hostsMax,
          )}`,
        ),
      )
      continue
    }
    const shown = those.slice(0, left)
    left -= shown.length
    for (const host of shown) lines.push(style(host.group, `  ${hostText(host)}`))
    if (shown.length < those.length) lines.push(`  ${standing.padEnd(10)} and ${those.length - shown.length} more`)
  }
  return lines
}

export function hostText(host: HostView): string {
  const words = [host.standing.padEnd(10), host.host]
  if (host.verdict !== undefined) words.push(`verdict ${host.verdict}`)
  if (waitsForShares(host)) words.push(`shares ${host.sharesHeld} of ${host.sharesNeeded}`)
  const [next] = host.frontier
  if (host.standing === 'loading' && next !== undefined) words.push(`${next.name} ${stateWord(next.state)}`)
  if (host.estimate.kind !== 'unknown') words.push(estimateText(host.estimate))
  for (const { where, why, witnesses } of host.missing.slice(0, 3))
    words.push(`${witnesses.length} in ${where}: ${why}`)
  if (host.why !== undefined) words.push(host.why)
  return words.join('   ')
}

/** Once it is released, shares are of no interest any more. */
export function waitsForShares({ standing, sharesNeeded }: HostView): boolean {
  return sharesNeeded > 0 && ['starting', 'asking', 'holding', 'refused', 'locked'].includes(standing)
}

function serviceLines({ services, hosts }: BoardView, style: TextOptions['style']): readonly string[] {
  if (services.length === 0) return []
  const lines = [style('title', 'services, in order')]
  const width = Math.max(...services.map(({ name }) => name.length))
  for (const { name, ready, starting, failed, frontierOn } of services) {
    const words = [`ready on ${ready} of ${hosts.length}`]
    if (starting > 0) words.push(`starting on ${starting}`)
    if (failed > 0) words.push(`failed on ${failed}`)
    if (frontierOn.length > 0) words.push(`next on ${someNames(frontierOn, 6)}`)
    const group = failed > 0 ? 'alarm' : ready === hosts.length ? 'serving' : 'coming'
    lines.push(style(group, `  ${name.padEnd(width)}   ${words.join(', ')}`))
  }
  return lines
}

function stateWord(state: ServiceStatus['state']): string {
  return state === 'waiting' ? 'is next' : `is ${state}`
}

export function estimateText(estimate: Estimate): string {
  switch (estimate.kind) {
    case 'done':
      return 'all of it serves'
    case 'in':
      return `about ${span(estimate.leftMs)} more`
    case 'late':
      return `${span(estimate.byMs)} longer than half of the others took`
    case 'unknown':
      return `nobody can tell: ${estimate.why}`
  }
}

export function span(lengthMs: number): string {
  if (lengthMs < 60_000) return `${(lengthMs / 1000).toFixed(lengthMs < 10_000 ? 1 : 0)} s`
  const minutes = Math.floor(lengthMs / 60_000)
  return minutes < 60
    ? `${minutes} min ${Math.floor((lengthMs % 60_000) / 1000)} s`
    : `${(lengthMs / 3_600_000).toFixed(1)} h`
}

/** The time of day in UTC: the day is today's. */
export function timeOf(wallMs: number): string {
  return `${new Date(wallMs).toISOString().slice(11, 19)}Z`
}
