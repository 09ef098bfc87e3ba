/** Whether a host meets what a computation demands of it. Format: spec/computation.md §7. */
import { hex } from '../bytes/index.ts'
import { type Tier, TIERS } from '../certificates/tier.ts'
import type { HashAlgorithm } from '../crypto.ts'
import { factsUnknown } from '../event-log/facts.ts'
import { evaluateRules, type EventLogRule } from '../event-log/rules.ts'
import { bankHash, type HostState, type Quoted } from './assess.ts'
import type { HostRules } from './host-rules.ts'

export interface HostRuleAnswer {
  /** Where the rule stands, such as `tier`, `pcrs.sha256.7`, `eventLog[1]`. */
  readonly at: string
  /** Its kind in a word or two, such as `secureBoot`. */
  readonly rule: string
  readonly answer: 'met' | 'unmet' | 'unknown'
  readonly expected: string
  readonly found: string
  /** Events of the boot log that the answer rests on. */
  readonly events: readonly number[]
}

/** The kind of a host's TPM. */
export interface HostTier {
  readonly name: Tier
  /** Somebody who is trusted says so, or the host itself that it is no better; else it may be a better one. */
  readonly isKnown: boolean
}

export interface HostToEvaluate {
  readonly state: HostState
  readonly quoted: Quoted
  readonly tier: HostTier
  readonly hash: (algorithm: HashAlgorithm, data: Uint8Array) => Uint8Array
}

/** One answer for each rule, in the order tier, registers, event log, engines. */
export function evaluateHostRules(rules: HostRules, host: HostToEvaluate): readonly HostRuleAnswer[] {
  const { tier, pcrs, eventLog = [], engines } = rules
  return [
    ...(tier === undefined ? [] : [tierAnswer(tier, host.tier)]),
    ...Object.entries(pcrs?.sha256 ?? {}).map(([pcr, value]) => pcrAnswer(pcr, value, host.quoted)),
    ...eventLogAnswers(eventLog, host),
    ...(engines === undefined ? [] : [enginesAnswer(engines, host.state)]),
  ]
}

export function allMet(answers: readonly HostRuleAnswer[]): boolean {
  return answers.every(({ answer }) => answer === 'met')
}

function tierAnswer(expected: Tier, { name, isKnown }: HostTier): HostRuleAnswer {
  const isMet = TIERS.indexOf(name) >= TIERS.indexOf(expected)
  const answer = isMet ? 'met' : isKnown ? 'unmet' : 'unknown'
  const found = isKnown || isMet ? `a ${name} TPM` : 'nobody who is trusted here says what kind of TPM it is'
  return { at: 'tier', rule: 'tier', answer, expected, found, events: [] }
}

function pcrAnswer(pcr: string, expected: string, { pcrs }: Quoted): HostRuleAnswer {
  const value = Object.hasOwn(pcrs, pcr) ? hex(pcrs[pcr]) : undefined
  return {
    at: `pcrs.sha256.${pcr}`,
    rule: `PCR ${pcr}`,
    answer: value === undefined ? 'unknown' : value === expected ? 'met' : 'unmet',
    expected,
    found: value ?? 'it was not quoted',
    events: [],
  }
}

function eventLogAnswers(
  rules: readonly EventLogRule[],
  { state: { boot }, quoted, hash }: HostToEvaluate,
): HostRuleAnswer[] {
  const facts = boot.kind === 'read' ? boot.facts : factsUnknown(boot.why)
  const evaluated = evaluateRules({ rules, facts, quoted: { sha256: quoted.pcrs }, hash: bankHash(hash) })
  return evaluated.map(({ rule, answer, why, events }, i) => ({
    at: `eventLog[${i}]`,
    rule: rule.kind,
    answer,
    expected: expectedOf(rule),
    found: why,
    events,
  }))
}

const DIGESTS_SHOWN_MAX = 3

function expectedOf(rule: EventLogRule): string {
  switch (rule.kind) {
    case 'secureBoot':
      return `Secure Boot is ${rule.state}`
    case 'pcr':
      return `PCR ${rule.pcr} of bank ${rule.bank} is ${rule.value}`
    case 'commandLine': {
      if (rule.compare.kind === 'exact') return `the command line is ${JSON.stringify(rule.compare.text)}`
      const { contains, lacks } = rule.compare
      return `the command line has ${contains.join(', ') || 'anything'}, and not ${lacks.join(', ') || 'nothing else'}`
    }
    default:
      return `one of ${shown(rule.digests)}`
  }
}

function shown(digests: readonly string[]): string {
  const more = digests.length - DIGESTS_SHOWN_MAX
  return `${digests.slice(0, DIGESTS_SHOWN_MAX).join(', ') || 'nothing'}${more > 0 ? ` and ${more} more` : ''}`
}

/**
 * All that ran since the TPM was started counts: a register cannot forget, and an engine that ran before could have extended it
 * with the digests of another one.
 */
function enginesAnswer(engines: readonly string[], { own }: HostState): HostRuleAnswer {
  const answerOf = (answer: HostRuleAnswer['answer'], found: string): HostRuleAnswer => {
    return { at: 'engines', rule: 'engines', answer, expected: `one of ${shown(engines)}`, found, events: [] }
  }
  if (own.kind !== 'replays') return answerOf('unknown', `the host's own log says nothing: ${own.why}`)
  if (own.from === 'unknown')
    return answerOf('unknown', "something was extended into the register before the host's own log began")
  const measured = own.log.measurements.flatMap((each) =>
    each.kind === 'engine' || each.kind === 'node' ? [{ kind: each.kind, sha256: each.sha256 }] : [],
  )
  for (const kind of ['engine', 'node'] as const)
    if (!measured.some((each) => each.kind === kind)) return answerOf('unknown', `no ${kind} was measured`)
  const stranger = measured.find(({ sha256 }) => !engines.includes(sha256))
  if (stranger === undefined) return answerOf('met', 'every engine that was measured is listed')
  return answerOf('unmet', `the ${stranger.kind} ${stranger.sha256}`)
}
