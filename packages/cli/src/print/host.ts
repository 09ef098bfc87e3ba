/** What the logs of a host show, in words: what is known, what is not and why. */
import type { HostRuleAnswer, ShownHost } from '@reprise/core'

/** One line a fact: its name and what is known of it. */
export type Row = readonly [name: string, value: string]

type BootRead = Extract<ShownHost['boot'], { readonly kind: 'read' }>
type Facts = BootRead['facts']

/** @param given - Whether the user named the boot log, rather than the kernel. */
export function hostRows({ boot, ima, own }: ShownHost, given: boolean): readonly Row[] {
  return [
    ...(boot.kind === 'read' ? bootRows(boot, given) : [['boot log', `unknown: ${boot.why}`] as const]),
    ['IMA', imaText(ima)],
    ...ownRows(own),
  ]
}

function bootRows({ registers, facts }: BootRead, given: boolean): readonly Row[] {
  const misfits = registers.filter(({ pcr, state: { kind } }) => pcr <= 7 && kind !== 'equal' && kind !== 'untouched')
  const fits =
    misfits.length === 0
      ? 'replays to PCR 0 to 7'
      : `does not replay to PCR ${misfits.map(({ pcr, state: { kind } }) => `${pcr} (${kind})`).join(', ')}`
  return [
    ['boot log', `${fits}${given ? '; a file that the user named, not the log of this kernel' : ''}`],
    ['Secure Boot', known(facts.secureBoot, (value) => value)],
    ['started', known(facts.applications, (value) => measured(value, facts))],
    ['command line', known(facts.commandLines, (value) => lines(value.map(commandLine)))],
    ['files', known(facts.files, (value) => measured(value, facts))],
  ]
}

function known<T>(
  fact: { readonly known: true; readonly value: T } | { readonly known: false; readonly why: string },
  text: (value: T) => string,
): string {
  return fact.known ? text(fact.value) : `unknown: ${fact.why}`
}

const SHOWN_MAX = 8

function lines(items: readonly string[]): string {
  const more = items.length - SHOWN_MAX
  return items.length === 0 ? 'none' : `${items.slice(0, SHOWN_MAX).join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}

function measured(
  items: readonly { readonly digest: string; readonly claimed: string | undefined }[],
  { bank }: Facts,
): string {
  return lines(
    items.map(({ digest, claimed }) => `${bank}:${digest}${claimed === undefined ? '' : ` (said to be ${claimed})`}`),
  )
}

function commandLine(
  line: { readonly kind: 'text'; readonly options: string } | { readonly kind: 'section'; readonly digest: string },
): string {
  return line.kind === 'text' ? JSON.stringify(line.options) : `of digest ${line.digest}`
}

function imaText(ima: ShownHost['ima']): string {
  if (ima.kind !== 'read') return `unknown: ${ima.why}`
  if (ima.coverage === undefined) return `a list of ${ima.entries} entries, of which nothing replays to its register`
  const { entries, beyond, pcr, rule } = ima.coverage
  const bound = rule === 'own-digest' ? '' : ', as far as SHA-1 binds'
  return `${entries} entries that PCR ${pcr} holds${bound}, ${beyond} that came later`
}

/** Self-asserted, and said so in each line. */
function ownRows(own: ShownHost['own']): readonly Row[] {
  if (own.kind !== 'read') return [['own log', `unknown: ${own.why}`]]
  const held = own.replays ? 'its register holds it' : `it does not hold: ${own.why ?? ''}`
  const before = own.from === 'unknown' ? '; something was extended before it began' : ''
  const rows = own.measurements.map((each): Row => {
    switch (each.kind) {
      case 'engine':
        return ['engine', `${each.sha256} (${each.form} of Reprise ${each.version}), as the host says`]
      case 'node':
        return ['Node', `${each.sha256} (${each.version}, V8 ${each.v8}), as the host says`]
      case 'rewriter':
        return ['rewriter', `${each.version}, as the host says`]
      case 'host': {
        const { model, features } = each.cpu
        return [
          'machine',
          `${model} with ${features.length} features, ${each.platform} ${each.kernel} ${each.architecture}, boot ${each.bootId ?? 'unknown'}, as the host says`,
        ]
      }
    }
  })
  return [['own log', `${held}${before}`], ...rows]
}

export function ruleRow({ at, rule, answer, expected, found, events }: HostRuleAnswer): Row {
  const where = events.length === 0 ? '' : ` (event ${events.slice(0, 3).join(', ')})`
  return [answer, `${at} ${rule}: demanded is ${expected}; found: ${found}${where}`]
}
