/** What a case of vectors/event-log that is made here consists of. */

import type { EventLogRule, RuleAnswer } from './rules.ts'
import type { SampleBoot } from './sample-logs.ts'

export interface SampleCase {
  readonly name: string
  /** What the case shows, for its README. */
  readonly why: string
  readonly boot: SampleBoot
  readonly rules: readonly EventLogRule[]
  readonly answers: readonly RuleAnswer['answer'][]
  /** Codes of notes on facts. */
  readonly notes?: readonly string[]
  readonly firstMisfit?: number
  /** Quoted registers that are not those of the boot, by bank and register. */
  readonly quoted?: Readonly<Record<string, Readonly<Record<string, string>>>>
}

export interface SampleRules {
  readonly secure: EventLogRule
  readonly loaders: EventLogRule
  readonly kernel: EventLogRule
  readonly line: EventLogRule
  readonly files: EventLogRule
  /** A rule by the names of what it lists. */
  readonly listing: (kind: 'bootLoader' | 'kernel' | 'files', ...images: readonly string[]) => EventLogRule
}
