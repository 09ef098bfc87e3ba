/** What happened, in order, out of the logs of several hosts: for people. */
import { hex } from '@reprise/core'
import type { AuditEntry, AuditEvent } from './entry.ts'
import type { AuditedLog } from './verify.ts'

export interface StoryLine {
  readonly wallMs: number
  readonly host: string
  readonly text: string
}

/** Ordered by wall clocks, which nobody signs; within a host by its log. What healthy hosts say all day is left out. */
export function storyOf(logs: readonly AuditedLog[]): StoryLine[] {
  const lines = logs.flatMap(({ log, host = log, entries }) =>
    entries.flatMap((entry): StoryLine[] => {
      const text = textOf(entry)
      return text === undefined ? [] : [{ wallMs: entry.wallMs, host, text }]
    }),
  )
  return lines.toSorted((a, b) => a.wallMs - b.wallMs)
}

function textOf({ event, tpm }: AuditEntry): string | undefined {
  const more = Object.entries(event.more ?? {}).map(([name, value]) => `${name} ${value}`)
  const text = eventText(event)
  if (text === undefined) return undefined
  const resets = event.kind === 'boot' && tpm !== null ? [`reset ${tpm.resetCount} of its TPM`] : []
  return [text, ...resets, ...more].join('; ')
}

function eventText(event: AuditEvent): string | undefined {
  switch (event.kind) {
    case 'begun':
      return 'its log begins'
    case 'boot':
      return `booted ${event.boot ?? 'what nobody approved'}, with version ${event.planVersion} of the plan`
    case 'refusal':
      return `refused ${event.host} its share ${event.index} of epoch ${event.epoch}: ${event.rules.join(', ')}`
    case 'share-given':
      return `gave ${event.host} its share ${event.index} of epoch ${event.epoch}`
    case 'release':
      return `was released, verdict ${event.verdict}, by ${event.shares.map(({ witness }) => witness).join(', ')}`
    case 'rotation':
      return `epoch ${event.epoch} of its secret is ${event.step}`
    case 'plan':
      return `took version ${event.version} of the plan from ${event.from ?? 'its operator'}`
    case 'statement':
      return `took a ${event.statement} of ${event.host} from ${event.from ?? 'its operator'}`
    case 'delivery':
      return `${event.to} was provisioned with what ${event.by} delivered`
    case 'alarm':
      return `ALARM: ${event.text}`
    case 'break-glass':
      return `was released by its operators ${event.operators.join(', ')}, epoch ${event.epoch}`
    case 'loaded':
      return `loaded image version ${event.version}, ${hex(event.image).slice(0, 8)}…, ${event.confirmedBy === null ? 'confirmed by nobody' : `confirmed by ${event.confirmedBy}`}`
    case 'shutdown':
      return event.isClean ? 'was shut down' : 'went down without its services'
    case 'request':
    case 'heartbeat':
    case 'countersign':
      return undefined
  }
}
