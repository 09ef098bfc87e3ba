/**
 * What a computation may demand of the boot of its host, and whether a log shows it. Format: spec/event-log.md §7.
 *
 * An answer is `met` only where quoted registers leave no other way; what a log merely says makes nothing met.
 */

import { equal, fromHex, hex, utf8 } from '../bytes/index.ts'
import type { BankHash, BankName, BankValues } from './bank.ts'
import type { CommandLine } from './boot-text.ts'
import { fitsWords } from './command-line.ts'
import type { BootFacts, Measured } from './facts.ts'
import type { Fact } from './fact.ts'

/** A bank and the hex of a digest in it, such as `sha256:0f…`. */
export type BankDigest = `${BankName}:${string}`

export type EventLogRule =
  | { readonly kind: 'secureBoot'; readonly state: 'on' | 'off' }
  /** All that firmware and shim started before the kernel. */
  | { readonly kind: 'bootLoader'; readonly digests: readonly BankDigest[] }
  /** What they started last. */
  | { readonly kind: 'kernel'; readonly digests: readonly BankDigest[] }
  | { readonly kind: 'commandLine'; readonly compare: CommandLineCompare }
  /** All that stands in PCR 9. */
  | { readonly kind: 'files'; readonly digests: readonly BankDigest[] }
  | { readonly kind: 'pcr'; readonly bank: BankName; readonly pcr: number; readonly value: string }

export type CommandLineCompare =
  | { readonly kind: 'exact'; readonly text: string }
  /** Parameters as Linux reads them (§7.4): all of the first list and no other value of theirs, none of the second. */
  | { readonly kind: 'words'; readonly contains: readonly string[]; readonly lacks: readonly string[] }

export interface RuleAnswer {
  readonly rule: EventLogRule
  readonly answer: 'met' | 'unmet' | 'unknown'
  readonly why: string
  /** Events of the log that the answer rests on. */
  readonly events: readonly number[]
}

interface Evidence {
  readonly rules: readonly EventLogRule[]
  readonly facts: BootFacts
  /** The registers that {@link BootFacts} were compared with. */
  readonly quoted: BankValues
  readonly hash: BankHash
}

/** One answer for each rule, in their order. */
export function evaluateRules(evidence: Evidence): readonly RuleAnswer[] {
  return evidence.rules.map((rule) => ({ rule, ...answerOf(rule, evidence) }))
}

type Answer = Omit<RuleAnswer, 'rule'>

function answerOf(rule: EventLogRule, evidence: Evidence): Answer {
  const { facts } = evidence
  switch (rule.kind) {
    case 'secureBoot':
      return fromFact(facts.secureBoot, ({ value, events }) => {
        const why = `Secure Boot is ${value}`
        return { answer: value === rule.state ? 'met' : 'unmet', why, events }
      })
    case 'kernel':
      return fromFact(facts.applications, ({ value }) => kernelAnswer(rule.digests, value, facts))
    case 'bootLoader':
      return bootLoaderAnswer(rule.digests, evidence)
    case 'files':
      return onlyUnderKnownLoaders(evidence, () =>
        fromFact(facts.files, ({ value }) => allListed(value, rule.digests, facts, 'file that the boot loader read')),
      )
    case 'commandLine':
      return onlyUnderKnownLoaders(evidence, () =>
        fromFact(facts.commandLines, ({ value, events }) =>
          commandLineAnswer(rule.compare, { value, events }, evidence),
        ),
      )
    case 'pcr':
      return pcrAnswer(rule, evidence.quoted)
  }
}

function fromFact<T>(fact: Fact<T>, answer: (known: Extract<Fact<T>, { known: true }>) => Answer): Answer {
  return fact.known ? answer(fact) : { answer: 'unknown', why: fact.why, events: fact.events }
}

function isListed({ digest }: Measured, digests: readonly BankDigest[], { bank }: BootFacts): boolean {
  return digests.some((each) => each === `${bank}:${digest}`)
}

/** A list without one digest of the bank says nothing of it: that is a question left open, not an answer. */
function lacksBank(digests: readonly BankDigest[], { bank }: BootFacts): Answer | undefined {
  if (digests.length === 0 || digests.some((each) => each.startsWith(`${bank}:`))) return undefined
  return { answer: 'unknown', why: `the list has no digest of bank ${bank}, which the facts rest on`, events: [] }
}

function kernelAnswer(digests: readonly BankDigest[], applications: readonly Measured[], facts: BootFacts): Answer {
  const last = applications.at(-1)
  if (last === undefined) return { answer: 'unknown', why: 'PCR 4 says of nothing that it was started', events: [] }
  const events = [last.event]
  if (isListed(last, digests, facts)) return { answer: 'met', why: 'what was started last is listed', events }
  const open = lacksBank(digests, facts)
  if (open !== undefined) return open
  // GRUB alone measures the kernel as one of the files that it reads; which of them it started stands in no register.
  const file = facts.files.known ? facts.files.value.find((each) => isListed(each, digests, facts)) : undefined
  if (file === undefined)
    return { answer: 'unmet', why: `what was started last has digest ${facts.bank}:${last.digest}`, events }
  const why = 'a listed digest is that of a file that the boot loader read; nothing shows that it was started'
  return { answer: 'unknown', why, events: [...events, file.event] }
}

function bootLoaderAnswer(digests: readonly BankDigest[], { rules, facts }: Evidence): Answer {
  return fromFact(facts.applications, ({ value }) => {
    const kernels = rules.flatMap((rule) => (rule.kind === 'kernel' ? rule.digests : []))
    const last = value.at(-1)
    const loaders = last !== undefined && isListed(last, kernels, facts) ? value.slice(0, -1) : value
    if (value.length === 0) return { answer: 'unknown', why: 'PCR 4 says of nothing that it was started', events: [] }
    return allListed(loaders, digests, facts, 'application that was started')
  })
}

function allListed(
  measured: readonly Measured[],
  digests: readonly BankDigest[],
  facts: BootFacts,
  what: string,
): Answer {
  const strangers = measured.filter((each) => !isListed(each, digests, facts))
  const events = measured.map(({ event }) => event)
  if (strangers.length === 0) return { answer: 'met', why: `every ${what} is listed`, events }
  const open = lacksBank(digests, facts)
  if (open !== undefined) return open
  const [{ event, digest }] = strangers
  const why = `${strangers.length} of ${measured.length} not listed; the first ${what}: event ${event}, ${facts.bank}:${digest}`
  return { answer: 'unmet', why, events: strangers.map((each) => each.event) }
}

/** Whatever was started can extend registers from 8 on with anything: they speak only where PCR 4 has nobody who would. */
function onlyUnderKnownLoaders(evidence: Evidence, answer: () => Answer): Answer {
  const found = answer()
  if (found.answer !== 'met') return found
  const loader = evidence.rules.find((rule) => rule.kind === 'bootLoader')
  if (loader === undefined) {
    const why = 'what was started could have measured anything: a bootLoader rule must say what may be started'
    return { answer: 'unknown', why, events: found.events }
  }
  const started = bootLoaderAnswer(loader.digests, evidence)
  if (started.answer === 'met') return found
  return { answer: 'unknown', why: 'something else than the listed boot loaders was started', events: started.events }
}

function commandLineAnswer(
  compare: CommandLineCompare,
  { value, events }: { readonly value: readonly CommandLine[]; readonly events: readonly number[] },
  { facts, hash }: Evidence,
): Answer {
  if (value.length === 0) return { answer: 'unknown', why: 'no command line was measured', events: [] }
  // Of several, such as after a failed start, nothing shows which one was used: all must fit.
  const verdicts = value.map((line) => ({ line, fits: fits(compare, line, { bank: facts.bank, hash }) }))
  const misfit = verdicts.find((each) => each.fits === false)
  if (misfit !== undefined)
    return {
      answer: 'unmet',
      why: `the command line of event ${misfit.line.event} does not fit`,
      events: [misfit.line.event],
    }
  const open = verdicts.find((each) => each.fits === undefined)
  if (open === undefined) return { answer: 'met', why: 'every command line that was measured fits', events }
  const why = 'the command line is known by its digest alone, or has quotes: only an exact text can be compared'
  return { answer: 'unknown', why, events: [open.line.event] }
}

function fits(
  compare: CommandLineCompare,
  line: CommandLine,
  { bank, hash }: { readonly bank: BankName | undefined; readonly hash: BankHash },
): boolean | undefined {
  if (line.kind === 'section') {
    if (compare.kind !== 'exact' || bank === undefined) return undefined
    // Builders end the section with a line end, a zero, or nothing.
    return ['', '\n', '\0'].some((end) => {
      const digest = hash(bank, utf8(`${compare.text}${end}`))
      return digest !== undefined && hex(digest) === line.digest
    })
  }
  return compare.kind === 'exact' ? line.options === compare.text : fitsWords(compare, line.options)
}

function pcrAnswer({ bank, pcr, value }: Extract<EventLogRule, { kind: 'pcr' }>, quoted: BankValues): Answer {
  const actual = quoted[bank]?.[pcr]
  if (actual === undefined) return { answer: 'unknown', why: `PCR ${pcr} of bank ${bank} was not quoted`, events: [] }
  const isMet = equal(actual, fromHex(value))
  return { answer: isMet ? 'met' : 'unmet', why: `PCR ${pcr} of bank ${bank} is ${hex(actual)}`, events: [] }
}
