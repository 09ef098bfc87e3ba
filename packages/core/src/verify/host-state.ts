/**
 * The state of the hosts of a record, attestation after attestation: logs beside what was quoted, rules of the computation and of the
 * reader, and changes. Rules: spec/host.md §3 to §5.
 */
import type { Crypto } from '../crypto.ts'
import {
  allMet,
  assessHost,
  assessIma,
  evaluateHostRules,
  imaRegisters,
  type HostLogs,
  type HostRuleAnswer,
  type HostRules,
  type HostState,
  type HostTier,
  type ImaState,
  type MeasurerAnswer,
  measurerOf,
  OWN_LOG_PCR,
  type Quoted,
  quotedInARow,
  showHost,
  type ShownHost,
  wantedRegisters,
  weaker,
} from '../environment/index.ts'
import { RECORD_ENTRY, type Attestation, type EnvironmentLog, type RecordDocument } from '../record/index.ts'
import type { TpmsClockInfo } from '../tpm/index.ts'
import type { Findings, Severity } from './findings.ts'
import { HostLogReader } from './host-logs.ts'
import type { OpenedRecord } from './open.ts'
import type { VerifiedHost } from './trust.ts'

/** What the record shows of the host of an attempt. */
export interface AttemptHost extends ShownHost {
  readonly attempt: number
  readonly logs: readonly EnvironmentLog[]
  /** What the computation demands, answered by the attempt's first attestation. */
  readonly rules: readonly HostRuleAnswer[]
  /** The first attestation of the attempt that does not meet them. */
  readonly unmetAt: { readonly seq: number; readonly rules: readonly HostRuleAnswer[] } | null
  /** Registers that another attestation quoted with another value than the first one; how many of them did. */
  readonly changed: readonly { readonly pcr: number; readonly firstSeq: number; readonly times: number }[]
}

/** Hex, by register. */
type PcrValues = Readonly<Record<string, string>>

/** A list is held against so many values of its register until one fits. */
const IMA_TRIES_MAX = 4

interface Current {
  readonly attempt: number
  readonly logs: HostLogs
  /** See {@link growing}. */
  readonly grows: ReadonlySet<number>
  readonly first: { readonly pcrs: PcrValues; readonly state: HostState }
  readonly rules: readonly HostRuleAnswer[]
  /** What was answered last, for the same values need no second answer. */
  last: {
    readonly quoted: Quoted
    readonly key: string
    readonly state: HostState
    readonly answers: readonly HostRuleAnswer[]
  }
  ima: ImaState
  imaTries: number
  /** The value that was tried last. */
  imaTried: string | undefined
  /** The value that the list covers. */
  imaValue: string | undefined
  unmetAt: AttemptHost['unmetAt']
  readonly changed: Map<number, { readonly pcr: number; readonly firstSeq: number; times: number }>
  readonly policy: Set<string>
}

export class HostChecks {
  readonly #document: RecordDocument
  readonly #crypto: Crypto
  readonly #findings: Findings
  readonly #hosts: readonly VerifiedHost[]
  readonly #reader: HostRules | undefined
  readonly #logs: HostLogReader
  readonly #shown: AttemptHost[] = []
  readonly #quotedOf = quotedInARow()
  #begun: { readonly attempt: number; readonly logs: HostLogs } | undefined
  /** Since the first attestation of the attempt. */
  #current: Current | undefined
  #measurer: MeasurerAnswer | undefined
  /** The last checkpoint that an attestation covers whose host met the rules. */
  #metSeq = -1
  /** An attestation that did not meet them, and may be the last of its attempt. */
  #failing: { readonly attempt: number; readonly path: string; readonly answers: readonly HostRuleAnswer[] } | undefined

  constructor(from: {
    readonly record: OpenedRecord
    readonly document: RecordDocument
    readonly crypto: Crypto
    /** As the verifier judges them; none when nothing is signed. */
    readonly hosts: readonly VerifiedHost[]
    readonly reader: HostRules | undefined
  }) {
    this.#document = from.document
    this.#crypto = from.crypto
    this.#findings = from.record.findings
    this.#hosts = from.hosts
    this.#reader = from.reader
    this.#logs = new HostLogReader(from.record, from.crypto)
  }

  /** Whether `begin` was called for the attempt, and for no other one since. */
  hasBegun(attempt: number): boolean {
    return this.#begun?.attempt === attempt
  }

  /** To be called before the first attestation of an attempt: reads its logs. */
  async begin(number: number): Promise<void> {
    this.#endAttempt()
    const attempt = this.#document.attempts[number - 1]
    if (attempt === undefined) return
    this.#checkGoingOn(attempt)
    this.#begun = { attempt: number, logs: await this.#logs.read(attempt) }
  }

  /** To be called with each attestation whose values are those that were quoted, in order. */
  check({ pcrs, seq }: Attestation, clock: TpmsClockInfo, path: string): void {
    const quoted = this.#quotedOf(pcrs.sha256, clock)
    const known = this.#current
    const current = known ?? this.#first({ path, quoted, pcrs: pcrs.sha256 })
    if (current === undefined) return
    this.#answer(current, { pcrs: pcrs.sha256, quoted })
    if (known !== undefined) this.#noteChanges(current, { seq, path, pcrs: pcrs.sha256 })
    this.#checkIma(current, { pcrs: pcrs.sha256, quoted })
    this.#checkRules(current, { seq, path, isFirst: known === undefined })
    this.#measure(current, { quoted, pcrs: pcrs.sha256, path })
  }

  /** To be called after the last attestation. */
  async end(): Promise<void> {
    await this.#readLogsOfOthers()
    this.#endAttempt()
    const failing = this.#failing
    if (failing !== undefined) this.#addChanged(failing, 'withholds')
  }

  get attempts(): readonly AttemptHost[] {
    return this.#shown
  }

  get measurer(): MeasurerAnswer {
    return this.#measurer ?? { measurer: 'unmeasured', why: 'nothing is signed' }
  }

  /** Logs of attempts of which nothing is signed are held to their digests all the same. */
  async #readLogsOfOthers(): Promise<void> {
    const seen = new Set([...this.#shown.map(({ attempt }) => attempt), this.#current?.attempt])
    for (const attempt of this.#document.attempts) if (!seen.has(attempt.attempt)) await this.#logs.read(attempt)
  }

  /** Undefined for an attempt that is not in the record. */
  #first(at: { readonly path: string; readonly quoted: Quoted; readonly pcrs: PcrValues }): Current | undefined {
    if (this.#begun === undefined) return undefined
    const { attempt, logs } = this.#begun
    const grows = growing(logs, this.#document.computation.host)
    const { hash } = this.#crypto
    const state = assessHost(logs, at.quoted, hash)
    const answers = this.#evaluate(this.#document.computation.host, { attempt, state, quoted: at.quoted })
    const current: Current = {
      attempt,
      logs,
      grows,
      first: { pcrs: at.pcrs, state },
      rules: answers,
      last: { quoted: at.quoted, key: keyOf(at.pcrs, at.quoted, grows), state, answers },
      ima: logs.ima.kind === 'read' ? { kind: 'read', entries: 0, coverage: undefined } : logs.ima,
      imaTries: 0,
      imaTried: undefined,
      imaValue: undefined,
      unmetAt: null,
      changed: new Map(),
      policy: new Set(),
    }
    this.#checkLogs(current, at.path)
    this.#current = current
    return current
  }

  #checkLogs({ first: { state } }: Current, path: string): void {
    const { boot, own } = state
    if (boot.kind === 'read' && boot.misfits.length > 0) {
      const named = boot.misfits.map(({ pcr, state: { kind } }) => `${pcr} (${kind})`).join(', ')
      const event = boot.comparison.firstMisfit
      const where = event === undefined ? '' : `; the first event that does not fit is ${event}`
      this.#findings.add('LOG_REPLAY', path, `the boot log does not replay to the quoted PCR ${named}${where}`)
    }
    if (own.kind === 'differs') this.#findings.add('OWN_LOG', path, `the host's own log does not hold: ${own.why}`)
  }

  #evaluate(
    rules: HostRules | undefined,
    { attempt, state, quoted }: { readonly attempt: number; readonly state: HostState; readonly quoted: Quoted },
  ): readonly HostRuleAnswer[] {
    if (rules === undefined) return []
    return evaluateHostRules(rules, { state, quoted, tier: this.#tierOf(attempt), hash: this.#crypto.hash })
  }

  /** Of a host that nobody whom the reader trusts has certified, only what it says against itself is known. */
  #tierOf(number: number): HostTier {
    const { environment, host } = this.#document.attempts[number - 1]
    const judged = this.#hosts[host]
    const name = judged?.tier ?? 'software'
    const isOwnWord = environment.tpm.transport === 'swtpm'
    return { name, isKnown: isOwnWord || judged?.enrolment === 'authority' || name !== 'software' }
  }

  #answer(current: Current, { pcrs, quoted }: { readonly pcrs: PcrValues; readonly quoted: Quoted }): void {
    const { last, grows } = current
    if (quoted === last.quoted) return
    const key = keyOf(pcrs, quoted, grows)
    if (key === last.key) return
    const state = assessHost(current.logs, quoted, this.#crypto.hash)
    current.last = {
      quoted,
      key,
      state,
      answers: this.#evaluate(this.#document.computation.host, { attempt: current.attempt, state, quoted }),
    }
  }

  #noteChanges(
    { first, changed, grows }: Current,
    { seq, path, pcrs }: { readonly seq: number; readonly path: string; readonly pcrs: PcrValues },
  ): void {
    if (pcrs === first.pcrs) return
    for (const [name, value] of Object.entries(pcrs)) {
      const pcr = Number(name)
      if (!Object.hasOwn(first.pcrs, name) || first.pcrs[name] === value) continue
      const known = changed.get(pcr)
      if (known !== undefined) {
        known.times += 1
        continue
      }
      changed.set(pcr, { pcr, firstSeq: seq, times: 1 })
      if (pcr !== OWN_LOG_PCR && !grows.has(pcr))
        this.#findings.add('HOST_CHANGED', path, `PCR ${pcr} has another value than when the attempt began`, 'warns')
    }
  }

  #checkIma(current: Current, { pcrs, quoted }: { readonly pcrs: PcrValues; readonly quoted: Quoted }): void {
    const { logs } = current
    if (logs.ima.kind !== 'read' || current.imaTries >= IMA_TRIES_MAX) return
    if (current.ima.kind === 'read' && current.ima.coverage !== undefined) return
    const [register] = imaRegisters(logs.ima.log)
    if (current.imaTries > 0 && pcrs[register] === current.imaTried) return
    current.imaTried = pcrs[register]
    current.imaTries += 1
    current.ima = assessIma(logs.ima, quoted, this.#crypto.hash)
    if (current.ima.kind === 'read' && current.ima.coverage !== undefined)
      current.imaValue = pcrs[current.ima.coverage.pcr]
  }

  /** A repetition reports what the computation demands, and need not meet it. */
  #checkRules(
    current: Current,
    { seq, path, isFirst }: { readonly seq: number; readonly path: string; readonly isFirst: boolean },
  ): void {
    const { attempts, computation } = this.#document
    const { answers } = current.last
    const failing = this.#failing
    if (failing !== undefined) {
      this.#addUnmet(failing, 'refutes', 'and the run went on')
      this.#failing = undefined
    }
    if (allMet(answers)) {
      this.#metSeq = Math.max(this.#metSeq, seq)
      return
    }
    const isRepetition = attempts[current.attempt - 1].environment.repeats !== null
    const isKnown = current.unmetAt !== null
    current.unmetAt ??= { seq, rules: answers.filter(({ answer }) => answer !== 'met') }
    const found = { attempt: current.attempt, path, answers }
    if (isRepetition) {
      if (!isKnown) this.#addUnmet(found, 'warns', 'which a repetition need not meet')
    } else if (isFirst) this.#addUnmet(found, 'refutes', 'and the attempt began')
    // One that began so has been told already.
    else if (!allMet(current.rules)) return
    else if (computation.host?.onChange === 'stop') this.#failing = found
    else if (!isKnown) this.#addChanged(found, 'warns')
  }

  /** After a stop: what was computed on a host that did not meet the rules is computed again. */
  #checkGoingOn({ attempt, from }: { readonly attempt: number; readonly from: number | null }): void {
    const failing = this.#failing
    if (failing === undefined) return
    this.#failing = undefined
    if (from !== null && from <= this.#metSeq) this.#addChanged(failing, 'warns')
    else this.#addUnmet(failing, 'refutes', `and attempt ${attempt} goes on from what was computed then`)
  }

  #addUnmet(
    { path, answers }: { readonly path: string; readonly answers: readonly HostRuleAnswer[] },
    severity: Severity,
    andThen: string,
  ): void {
    for (const each of answers) {
      if (each.answer === 'met') continue
      const code = each.answer === 'unmet' ? 'HOST_RULE_UNMET' : 'HOST_RULE_UNKNOWN'
      // Who trusts somebody else may know: that is no fault of the record.
      const isForOthers = each.at === 'tier' && each.answer === 'unknown' && severity === 'refutes'
      this.#findings.add(code, path, `${ruleSentence(each)}, ${andThen}`, isForOthers ? 'withholds' : severity)
    }
  }

  #addChanged(
    { path, answers }: { readonly path: string; readonly answers: readonly HostRuleAnswer[] },
    severity: Severity,
  ): void {
    const what = answers.filter(({ answer }) => answer !== 'met').map(ruleSentence)
    const stops = this.#document.computation.host?.onChange === 'stop' ? '; the attempt was stopped' : ''
    this.#findings.add(
      'HOST_CHANGED',
      path,
      `the host ceased to meet what is demanded: ${what.join('; ')}${stops}`,
      severity,
    )
  }

  #measure(
    current: Current,
    { quoted, pcrs, path }: { readonly quoted: Quoted; readonly pcrs: PcrValues; readonly path: string },
  ): void {
    const { state } = current.last
    const rules = this.#reader
    const answers = this.#evaluate(rules, { attempt: current.attempt, state, quoted })
    for (const each of answers) {
      if (each.answer === 'met' || current.policy.has(each.at)) continue
      current.policy.add(each.at)
      this.#findings.add('HOST_POLICY', path, ruleSentence(each))
    }
    const { coverage } = current.ima.kind === 'read' ? current.ima : { coverage: undefined }
    // What ran after the list was read is in none: then it says nothing of this attestation.
    const isCovered = coverage !== undefined && pcrs[coverage.pcr] === current.imaValue
    const ima: ImaState =
      isCovered || current.ima.kind !== 'read' ? current.ima : { ...current.ima, coverage: undefined }
    const answer = measurerOf({
      tier: this.#tierOf(current.attempt).name,
      state,
      reader: rules === undefined ? undefined : { rules, isMet: allMet(answers) },
      ima: { state: ima, list: current.logs.ima },
    })
    this.#measurer = this.#measurer === undefined ? answer : weaker(this.#measurer, answer)
  }

  #endAttempt(): void {
    const current = this.#current
    this.#begun = undefined
    this.#current = undefined
    if (current === undefined) return
    const { attempt, first, ima, rules, unmetAt, changed } = current
    if (ima.kind === 'read' && ima.coverage === undefined) {
      const path = `${RECORD_ENTRY} $.attempts[${attempt - 1}].environment.logs`
      this.#findings.add(
        'IMA_REPLAY',
        path,
        'no first part of the list of IMA replays to a quoted value of its register',
      )
    }
    const { logs } = this.#document.attempts[attempt - 1].environment
    this.#shown.push({ attempt, logs, ...showHost(first.state, ima), rules, unmetAt, changed: [...changed.values()] })
  }
}

/**
 * The registers of the list of IMA that nothing else rests on: they change all the time. Which registers a list names is up to the
 * host, so that the others are looked at although it names them.
 */
function growing(logs: HostLogs, rules: HostRules | undefined): ReadonlySet<number> {
  if (logs.ima.kind !== 'read') return new Set()
  const others = wantedRegisters({ ...logs, ima: { kind: 'absent', why: '' } }, rules)
  return new Set(imaRegisters(logs.ima.log).filter((pcr) => !others.includes(pcr)))
}

/** All that decides what {@link assessHost} and the computation's rules answer. */
function keyOf(pcrs: PcrValues, { resetCount, restartCount }: Quoted, grows: ReadonlySet<number>): string {
  const values = Object.entries(pcrs).flatMap(([pcr, value]) => (grows.has(Number(pcr)) ? [] : [pcr, value]))
  return [resetCount, restartCount, ...values].join()
}

function ruleSentence({ at, rule, answer, expected, found, events }: HostRuleAnswer): string {
  const where = events.length === 0 ? '' : ` (event ${events.slice(0, 3).join(', ')})`
  return `${at} ${rule} is ${answer}: demanded is ${expected}; found: ${found}${where}`
}
