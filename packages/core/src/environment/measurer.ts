/**
 * Who measured what computed the states. Rules: spec/host.md §5.
 *
 * Nobody who only looks at a record knows which digests are those of software that can be relied on, and whoever controls a host
 * may have written the rules of its computation as well. So nothing is claimed but against rules that the reader brought.
 */
import { hex } from '../bytes/index.ts'
import type { ImaList } from '../event-log/ima.ts'
import type { HostState, ImaState, ReadLog } from './assess.ts'
import { type Measurer, MEASURERS, type Tier } from '../certificates/tier.ts'
import type { HostRules } from './host-rules.ts'

/** `unmeasured` is nothing: its reason is what a reader may want to know. */
export interface MeasurerAnswer {
  readonly measurer: Measurer
  readonly why: string
}

/** The weaker of two, with its reason. */
export function weaker(a: MeasurerAnswer, b: MeasurerAnswer): MeasurerAnswer {
  return MEASURERS.indexOf(b.measurer) < MEASURERS.indexOf(a.measurer) ? b : a
}

const unmeasured = (why: string): MeasurerAnswer => ({ measurer: 'unmeasured', why })

/**
 * Of one attestation.
 *
 * @param asked.reader - The rules of whoever asks, and whether this host met all of them at this attestation.
 */
export function measurerOf(asked: {
  readonly tier: Tier
  readonly state: HostState
  readonly reader: { readonly rules: HostRules; readonly isMet: boolean } | undefined
  readonly ima: { readonly state: ImaState; readonly list: ReadLog<ImaList> }
}): MeasurerAnswer {
  const { tier, state, reader, ima } = asked
  if (tier === 'software') return unmeasured('whoever runs a software TPM can extend its registers with anything')
  if (reader === undefined)
    return unmeasured('no rules of the reader say which boot and which engine are to be relied on')
  if (!reader.isMet) return unmeasured("the host does not meet the reader's rules")
  const open = whatIsOpen(reader.rules)
  if (open !== undefined) return unmeasured(open)
  const { boot, own } = state
  if (boot.kind !== 'read' || boot.misfits.length > 0)
    return unmeasured('the boot log does not replay to the quoted registers')
  if (own.kind !== 'replays' || own.from === 'unknown')
    return unmeasured("the host's own log does not replay to a quoted register from its start")
  const missing = notAtRuntime(state, ima)
  return missing === undefined
    ? { measurer: 'runtime', why: 'kernel, engine and what ran beside them are in quoted registers' }
    : { measurer: 'boot', why: missing }
}

/**
 * The register of the own log is worth what may extend it: all that was started up to the kernel, with which options and which initial RAM disk,
 * must be pinned, and the engines too.
 */
function whatIsOpen({ eventLog = [], engines }: HostRules): string | undefined {
  const has = (...kinds: readonly string[]): boolean => eventLog.some(({ kind }) => kinds.includes(kind))
  if (!has('bootLoader')) return "the reader's rules leave open which boot loaders were started"
  if (!has('kernel', 'files')) return "the reader's rules leave open which kernel was started"
  const isExact = eventLog.some((rule) => rule.kind === 'commandLine' && rule.compare.kind === 'exact')
  if (!isExact) return "the reader's rules leave open what the kernel was told"
  return engines === undefined ? "the reader's rules leave open which engine ran" : undefined
}

/** Why IMA does not show the engine's files; undefined when it does. */
function notAtRuntime(
  { own }: HostState,
  { state, list }: { readonly state: ImaState; readonly list: ReadLog<ImaList> },
): string | undefined {
  if (state.kind !== 'read' || list.kind !== 'read' || own.kind !== 'replays') return 'there is no list of IMA'
  const { coverage } = state
  if (coverage === undefined) return 'no first part of the list of IMA replays to its quoted register'
  if (coverage.rule !== 'own-digest') return 'the list of IMA is bound by SHA-1 alone'
  const covered = list.log.entries.slice(0, coverage.entries)
  if (covered.some(({ violation }) => violation))
    return 'IMA could not measure a file that was changed while it was read'
  const measured = new Set(covered.flatMap(({ file }) => (file?.algorithm === 'sha256' ? [hex(file.digest)] : [])))
  const files = own.log.measurements.flatMap((each) => {
    if (each.kind === 'engine') return each.files.map(({ sha256 }) => sha256)
    return each.kind === 'node' ? [each.sha256] : []
  })
  return files.every((sha256) => measured.has(sha256)) ? undefined : 'IMA did not measure every file of the engine'
}
