/**
 * Whether the host of a run is, and stays, one that its computation wants. Every receipt comes by here before anything rests on
 * it: a machine that is to stop is told before the journal has the attestation. Rules: spec/host.md §4.
 */
import {
  allMet,
  assessHost,
  decodeTpmsAttest,
  evaluateHostRules,
  fromHex,
  quotedOf,
  type Attestation,
  type HostLogs,
  type HostRuleAnswer,
  type HostRules,
  type HostState,
  type HostTier,
  type Quoted,
} from '@reprise/core'
import type { HostFacts } from '@reprise/host'
import { nodeCrypto } from '../crypto.ts'
import { RunnerError } from '../error.ts'
import type { HostLook } from './look.ts'

const { hash } = nodeCrypto

/** What a host does not meet of what its computation demands. */
export interface HostChange {
  /** The checkpoint whose attestation showed it. */
  readonly seq: number
  /** Undefined when it is no rule: the host's own log was not what its register held. */
  readonly ownLog?: string | undefined
  /** The first one of the attempt: it had better not begun. */
  readonly isFirst: boolean
  readonly rules: readonly HostRuleAnswer[]
}

export interface HostWatch {
  /** `stop`: the attestation shows a host that the computation does not want, and nothing may rest on it. */
  look(attestation: Attestation): 'go' | 'stop'
  /** What stopped the run; undefined while all is well. */
  stopped(): HostChange | undefined
}

export interface WatchOptions {
  readonly rules: HostRules | undefined
  readonly logs: HostLogs
  readonly tier: HostTier
  /** A repetition says what is not met, and goes on. */
  readonly isRequired: boolean
  readonly onTrouble: ((message: string) => void) | undefined
}

export function watchHost({ rules, logs, tier, isRequired, onTrouble }: WatchOptions): HostWatch {
  let stopped: HostChange | undefined
  let told = false
  let first: number | undefined
  let known = ''
  const quotedIn = ({ attest, pcrs }: Attestation): Quoted =>
    quotedOf(pcrs.sha256, decodeTpmsAttest(fromHex(attest)).clockInfo)
  const stateAt = (attestation: Attestation): HostState => assessHost(logs, quotedIn(attestation), hash)
  const answersTo = (attestation: Attestation, demanded: HostRules): readonly HostRuleAnswer[] =>
    evaluateHostRules(demanded, { state: stateAt(attestation), quoted: quotedIn(attestation), tier, hash })
  const tell = (message: string): void => {
    if (!told) onTrouble?.(message)
    told = true
  }
  return {
    look(attestation) {
      if (stopped !== undefined) return 'go'
      if (first === undefined) {
        first = attestation.seq
        const { own } = stateAt(attestation)
        if (own.kind === 'differs') {
          stopped = { seq: first, isFirst: true, ownLog: own.why, rules: [] }
          return 'stop'
        }
      }
      if (rules === undefined) return 'go'
      // The same values in the same power cycle have the same answer.
      const { resetCount, restartCount } = quotedIn(attestation)
      const key = JSON.stringify([resetCount, restartCount, attestation.pcrs.sha256])
      if (key === known) return 'go'
      const unmet = answersTo(attestation, rules).filter(({ answer }) => answer !== 'met')
      if (unmet.length === 0) {
        known = key
        return 'go'
      }
      const sentences = unmet.map(ruleText).join('; ')
      if (!isRequired) {
        tell(`this host is not one that the computation demands, which a repetition need not be: ${sentences}`)
        return 'go'
      }
      if (rules.onChange === 'record' && attestation.seq !== first) {
        tell(`the host has changed, and the record says so: ${sentences}`)
        return 'go'
      }
      stopped = { seq: attestation.seq, isFirst: attestation.seq === first, rules: unmet }
      return 'stop'
    },
    stopped: () => stopped,
  }
}

/** What the host says of its TPM: a software TPM is one, and of another one its certificate says what it is. The reader decides. */
export async function tierOf({ tpm, certificates: [own] }: HostFacts): Promise<HostTier> {
  if (tpm.transport === 'swtpm') return { name: 'software', isKnown: true }
  if (own === undefined) return { name: 'software', isKnown: false }
  const { decodeAkCertificate } = await import('@reprise/core/certificates')
  return { name: decodeAkCertificate(own).statement.tier, isKnown: true }
}

/** @throws RunnerError `HOST_RULES` for a host that the computation does not want. */
export function refuseOtherHosts({ quote }: HostLook, rules: HostRules, tier: HostTier): void {
  if (quote === undefined) throw new Error('a host is judged by a quote')
  const { quoted, state } = quote
  const answers = evaluateHostRules(rules, { state, quoted, tier, hash })
  if (!allMet(answers)) throw refusedHost({ rules: answers.filter(({ answer }) => answer !== 'met') })
}

export function refusedHost({ rules, ownLog }: Pick<HostChange, 'ownLog' | 'rules'>): RunnerError {
  if (ownLog !== undefined) {
    return new RunnerError('HOST_RULES', {
      message: `this host changed while the run was about to begin: ${ownLog}`,
      hint: 'another version of Reprise began a run with this TPM just now: run it again',
    })
  }
  return new RunnerError('HOST_RULES', {
    message: `this host is not one that the computation demands: ${rules.map(ruleText).join('; ')}`,
    hint: 'see what this host shows, and which rules of a file hold: reprise host attest --rules FILE',
    data: { rules },
  })
}

/** Of one answer: rule, what it expects, what was found, where. */
export function ruleText({ at, rule, answer, expected, found, events }: HostRuleAnswer): string {
  const where = events.length === 0 ? '' : `, event ${events.slice(0, 3).join(', ')}`
  return `${at} (${rule}) is ${answer}: expected ${expected}; found ${found}${where}`
}
