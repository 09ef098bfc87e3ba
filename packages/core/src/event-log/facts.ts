/**
 * Facts of a boot that a quoted register binds. Format: spec/event-log.md §6.
 *
 * Who controls a host writes its log: event types, registers, labels and data are that host's word. What it cannot choose is the
 * order of digests in a register that a TPM quoted, and the bytes that such a digest is of. Facts are read from nothing else.
 */

import { equal, hex, utf8 } from '../bytes/index.ts'
import type { BankHash, BankName } from './bank.ts'
import { commandLinesOf, sectionsOf, type CommandLine, type Section } from './boot-text.ts'
import type { Comparison } from './compare.ts'
import { describeEvent } from './content.ts'
import { coverageOf } from './coverage.ts'
import { factNotes, type FactNote } from './fact-notes.ts'
import { known, unknown, type Fact, type MeasuredEvent } from './fact.ts'
import { digestOf, type EventLog } from './log.ts'
import { algOf } from './replay.ts'
import { secureBootOf } from './secure-boot.ts'
import { errorSeparator, separators } from './separator.ts'

/** A digest that stands in a register, and what the log says that it is of. */
export interface Measured {
  readonly event: number
  /** In hex. For an application: its Authenticode digest. */
  readonly digest: string
  /** A device path or a label; nothing shows that it is true. */
  readonly claimed: string | undefined
}

export interface BootFacts {
  /** The bank that all facts rest on; undefined when no bank serves. */
  readonly bank: BankName | undefined
  /** On where the firmware checks images and shim was not told to stop checking; PCR 7. */
  readonly secureBoot: Fact<'on' | 'off'>
  /** All that was measured as started, in order: what firmware or shim loaded; PCR 4. */
  readonly applications: Fact<readonly Measured[]>
  /** What a boot loader says that it started a kernel with; PCRs 8, 11 and 12. */
  readonly commandLines: Fact<readonly CommandLine[]>
  /** What a boot loader read, and what a kernel measured of its start; PCR 9. */
  readonly files: Fact<readonly Measured[]>
  /** Sections of a unified kernel image; PCR 11. */
  readonly sections: Fact<readonly Section[]>
  /** Events that look like facts and are none. */
  readonly notes: readonly FactNote[]
}

/** SHA-256 first, since that is what lists of digests are made of. */
const BANKS_BY_CHOICE: readonly BankName[] = ['sha256', 'sha384', 'sha512', 'sm3_256']

/**
 * @param asked.comparison - Of the log with a quote that holds.
 * @param asked.sha1 - `accept` lets facts rest on SHA-1 where no better bank was quoted. Two texts of the same SHA-1 can be made,
 *   so a log may then show another text than the one that was used.
 */
export function factsOf(asked: {
  readonly log: EventLog
  readonly comparison: Comparison
  readonly hash: BankHash
  readonly sha1?: 'accept' | 'refuse'
}): BootFacts {
  const choice = asked.sha1 === 'accept' ? [...BANKS_BY_CHOICE, 'sha1' as const] : BANKS_BY_CHOICE
  const bank = choice.find((name) => serves(asked, name))
  if (bank === undefined) return nothingKnown(asked)
  const register = (pcr: number): Fact<readonly MeasuredEvent[]> => measuredEvents({ ...asked, bank }, pcr)
  return {
    bank,
    secureBoot: secureBootOf(register(7), { bank, hash: asked.hash }),
    applications: applicationsOf({ ...asked, bank }, register(4)),
    commandLines: commandLinesOf(
      { grub: register(8), stub: register(11), options: register(12) },
      { bank, hash: asked.hash },
    ),
    files: measured({ ...asked, bank }, register(9)),
    sections: sectionsOf(register(11), { bank, hash: asked.hash }),
    notes: factNotes(asked.log, { bank, hash: asked.hash }),
  }
}

interface Asked {
  readonly log: EventLog
  readonly comparison: Comparison
  readonly hash: BankHash
}

/** A bank that the log replays and the quote has registers of. */
function serves({ comparison }: Asked, bank: BankName): boolean {
  return comparison.registers.some((each) => each.bank === bank && each.state.kind !== 'no-bank')
}

function nothingKnown({ comparison }: Asked): BootFacts {
  const weak = comparison.registers.some(({ bank, state }) => bank === 'sha1' && state.kind !== 'no-bank')
  return factsUnknown(
    weak ? 'only SHA-1 registers were quoted and logged, and SHA-1 collides' : 'the log has no bank that was quoted',
  )
}

/** Where no log says anything. */
export function factsUnknown(why: string): BootFacts {
  const nothing = unknown(why)
  const facts = { secureBoot: nothing, applications: nothing, commandLines: nothing, files: nothing, sections: nothing }
  return { bank: undefined, ...facts, notes: [] }
}

/** What stands in a register, in order, when the log replays to the quoted value. */
function measuredEvents(
  { log, comparison, hash, bank }: Asked & { readonly bank: BankName },
  pcr: number,
): Fact<readonly MeasuredEvent[]> {
  const compared = comparison.registers.find((each) => each.bank === bank && each.pcr === pcr)
  if (compared === undefined) return unknown(`PCR ${pcr} of bank ${bank} was not quoted`)
  const { state, events } = compared
  if (state.kind !== 'equal' && state.kind !== 'untouched')
    return unknown(`the log does not replay to the quoted PCR ${pcr} of bank ${bank} (${state.kind})`, events)
  const separator = separators({ bank, hash })
  const error = errorSeparator({ bank, hash })
  const value = events.map((index): MeasuredEvent => {
    const event = log.events[index]
    const digest = digestOf(event, algOf(bank)) ?? new Uint8Array()
    const bytes = coverageOf(event, { bank, digest, hash })?.bytes
    const isError = equal(digest, error)
    const separates = isError ? 'error' : separator.some((each) => equal(each, digest)) ? 'yes' : 'no'
    return { event: index, pcr, digest, bytes, separates }
  })
  return known(value, { pcrs: [pcr], events })
}

/** Firmware Profile §8.2.4: texts in PCR 4 that stand for no code, found by digest. Any other event of PCR 4 counts as code that was started. */
const ACTIONS = ['Calling EFI Application from Boot Option', 'Returning from EFI Application from Boot Option'].map(
  utf8,
)

function applicationsOf(
  asked: Asked & { readonly bank: BankName },
  register: Fact<readonly MeasuredEvent[]>,
): Fact<readonly Measured[]> {
  if (!register.known) return register
  const actions = ACTIONS.map((action) => asked.hash(asked.bank, action) ?? new Uint8Array())
  const started = register.value.filter(
    ({ digest, separates }) => separates === 'no' && !actions.some((action) => equal(action, digest)),
  )
  return measured(asked, { ...register, value: started })
}

function measured(
  { log, bank, hash }: Asked & { readonly bank: BankName },
  register: Fact<readonly MeasuredEvent[]>,
): Fact<readonly Measured[]> {
  if (!register.known) return register
  const value = register.value.map(({ event, digest }): Measured => {
    const { content } = describeEvent(log.events[event], { bank, hash })
    const path = content.kind === 'image' ? content.image.path : undefined
    const label = content.kind === 'boot-text' ? `${content.label}${content.text}` : undefined
    return { event, digest: hex(digest), claimed: path === '' ? undefined : (path ?? label) }
  })
  return known(value, { pcrs: register.pcrs, events: value.map(({ event }) => event) })
}
