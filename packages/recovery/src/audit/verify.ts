/**
 * Verifies audit logs: each by itself, and beside each other. Rules: spec/operators.md §6.3. What is wrong is an answer; only
 * what cannot be read at all is an error.
 */
import { equal, hex } from '@reprise/core'
import { akName, checkQuote } from '../quote.ts'
import { heartbeatStatement, releaseStatement } from '../plan/digest.ts'
import { sha256 } from '../sealing/words.ts'
import type { HostId, Plan } from '../types.ts'
import {
  type AuditClock,
  type AuditEntry,
  type AuditEvent,
  type AuditPlace,
  type AuditScope,
  auditStart,
  decodeEntry,
  entryDigest,
  type LoggedShare,
  type SignedQuote,
} from './entry.ts'

const NEWLINE = 10

export type AuditProblemCode =
  | 'ENTRY' // a line that is no entry, or begins no log
  | 'CHAIN' // an entry that does not hang on the one before
  | 'HOST' // two logs of one host, or a host that no plan has
  | 'QUOTE' // a countersignature or a word of a witness that its key did not give
  | 'HEAD' // what was countersigned is not what stands there
  | 'CUT' // a log ends before what was countersigned of it
  | 'SHARE' // a share that one side had and the other did not give
  | 'CLOCK' // resets or clock of a TPM went back within a log

export type AuditNoteCode =
  | 'TORN' // an unfinished line at the end, as a crash leaves it
  | 'UNUSED' // a share was given, and the log of who asked has no release of that attempt
  | 'LATER' // countersigned, or given, after the logs began to be gathered, so that it need not be in them
  | 'ALONE' // nothing of the log was countersigned by anybody

export interface AuditFinding<Code> {
  readonly code: Code
  readonly log: string
  /** Undefined: of the log as a whole. */
  readonly entry: number | undefined
  readonly message: string
}

/** What one log is worth. */
export interface AuditedLog {
  /** Its name as given. */
  readonly log: string
  readonly host: HostId | undefined
  readonly fleet: string | undefined
  /** How many entries it has, up to the first that does not hang on the one before; and their head. */
  readonly length: number
  readonly head: Uint8Array
  /** Those entries without heartbeats and countersignatures, of which a healthy fleet writes more than of all else. */
  readonly entries: readonly AuditEntry[]
  /** So many entries from the beginning were countersigned by a witness, and by whom that was; by what holds alone. */
  readonly countersigned: { readonly length: number; readonly witnesses: readonly HostId[] }
}

export interface Audit {
  readonly logs: readonly AuditedLog[]
  readonly problems: readonly AuditFinding<AuditProblemCode>[]
  readonly notes: readonly AuditFinding<AuditNoteCode>[]
  /** Quotes that were verified. */
  readonly quotes: number
}

export interface LogInput {
  /** For messages. */
  readonly log: string
  readonly content: Uint8Array
}

/**
 * @param plans - Whose attestation keys count: all that were in force while the logs were written. Undefined: quotes hold
 *   or do not, and whose keys they are of is not known.
 * @param options.gatheredMs - When the first of the logs was copied, by wall clock: what others saw of a log later need not be
 *   in it. Undefined: nobody wrote while they were copied.
 */
export async function auditLogs(
  inputs: readonly LogInput[],
  plans: readonly Plan[] | undefined,
  { gatheredMs = Infinity }: { readonly gatheredMs?: number } = {},
): Promise<Audit> {
  const audit: Auditing = { problems: [], notes: [], quotes: 0, keys: plans && keysOf(plans), gatheredMs }
  const logs: Read[] = []
  for (const input of inputs) logs.push(await readLog(input, audit))
  const byHost = new Map<HostId, Read>()
  for (const log of logs) {
    if (log.host === undefined) continue
    const other = byHost.get(log.host)
    if (other !== undefined) problem(audit, log, 'HOST', undefined, `${other.log} is a log of ${log.host} too`)
    else byHost.set(log.host, log)
    if (audit.keys !== undefined && !audit.keys.has(log.host))
      problem(audit, log, 'HOST', undefined, `${log.host} is in none of the plans`)
  }
  for (const log of logs) for (const claim of log.claims) checkClaim({ ...claim, from: log }, byHost, audit)
  for (const log of logs) await checkShares(log, byHost, audit)
  for (const log of logs) if (log.countersigned.length === 0 && log.length > 0) alone(audit, log)
  const { problems, notes, quotes } = audit
  const shown = ({ log, host, fleet, length, head, entries, countersigned }: Read): AuditedLog => {
    return { log, host, fleet, length, head, entries, countersigned }
  }
  return { logs: logs.map(shown), problems, notes, quotes }
}

interface Auditing {
  readonly problems: AuditFinding<AuditProblemCode>[]
  readonly notes: AuditFinding<AuditNoteCode>[]
  quotes: number
  /** TPM Names of attestation keys by host. */
  readonly keys: ReadonlyMap<HostId, ReadonlySet<string>> | undefined
  readonly gatheredMs: number
}

interface Read extends AuditedLog {
  /** Head after so many entries; the first one is that of no entries. */
  readonly heads: readonly Uint8Array[]
  /** Shares that it gave, and attempts that it was released in, by {@link shareKey} and {@link attemptKey}. */
  readonly given: ReadonlySet<string>
  readonly released: ReadonlySet<string>
  readonly claims: readonly Omit<Claim, 'from'>[]
  countersigned: { length: number; witnesses: HostId[] }
}

function keysOf(plans: readonly Plan[]): ReadonlyMap<HostId, ReadonlySet<string>> {
  const keys = new Map<HostId, Set<string>>()
  for (const { roster } of plans)
    for (const { id, ak } of roster.hosts) {
      const known = keys.get(id) ?? new Set()
      keys.set(id, ak === undefined ? known : known.add(ak))
    }
  return keys
}

type Of = Pick<AuditedLog, 'log'>

function problem(
  audit: Auditing,
  { log }: Of,
  code: AuditProblemCode,
  entry: number | undefined,
  message: string,
): void {
  audit.problems.push({ code, log, entry, message })
}

function note(audit: Auditing, { log }: Of, code: AuditNoteCode, entry: number | undefined, message: string): void {
  audit.notes.push({ code, log, entry, message })
}

function alone(audit: Auditing, log: Of): void {
  note(audit, log, 'ALONE', undefined, 'no witness countersigned any of it: it could have been written anew')
}

async function readLog({ log, content }: LogInput, audit: Auditing): Promise<Read> {
  const entries: AuditEntry[] = []
  const heads: Uint8Array[] = []
  const claims: Omit<Claim, 'from'>[] = []
  let scope: AuditScope | undefined
  let clock: AuditClock | null = null
  let at = 0
  for (let seq = 0; at < content.length; seq++) {
    const end = content.indexOf(NEWLINE, at)
    if (end < 0) {
      note(audit, { log }, 'TORN', seq, `${content.length - at} bytes without an end`)
      break
    }
    const line = content.subarray(at, end)
    const entry = readEntry(line, { seq, head: heads.at(-1), clock }, { log, audit })
    if (entry === undefined) break
    if (entry.event.kind === 'begun') {
      scope = entry.event
      heads.push(entry.previous)
    }
    clock = entry.tpm ?? clock
    heads.push(entryDigest(line))
    const { kind } = entry.event
    if (kind !== 'heartbeat' && kind !== 'countersign') entries.push(entry)
    else if (scope !== undefined) claims.push(...(await claimsOf(entry, scope.host, { log, audit })))
    at = end + 1
  }
  if (heads.length === 0 && !audit.problems.some((each) => each.log === log))
    problem(audit, { log }, 'ENTRY', undefined, 'there is no whole entry in it')
  const events = entries.map(({ event }) => event)
  const given = new Set(events.flatMap((event) => (event.kind === 'share-given' ? [shareKey(event.host, event)] : [])))
  const released = new Set(events.flatMap((event) => (event.kind === 'release' ? [attemptKey(event)] : [])))
  const whole = { length: Math.max(0, heads.length - 1), head: heads.at(-1) ?? new Uint8Array(32) }
  const { host, fleet } = scope ?? { host: undefined, fleet: undefined }
  return {
    log,
    host,
    fleet,
    ...whole,
    entries,
    heads,
    given,
    released,
    claims,
    countersigned: { length: 0, witnesses: [] },
  }
}

function attemptKey({ epoch, attempt }: { readonly epoch: number; readonly attempt: string }): string {
  return `${epoch} ${attempt}`
}

function shareKey(host: HostId, share: Pick<LoggedShare, 'epoch' | 'attempt' | 'index'>): string {
  return `${host} ${share.index} ${attemptKey(share)}`
}

/** Undefined, with the problem noted, where the log ends to be one. */
function readEntry(
  line: Uint8Array,
  before: { readonly seq: number; readonly head: Uint8Array | undefined; readonly clock: AuditClock | null },
  { log, audit }: Of & { readonly audit: Auditing },
): AuditEntry | undefined {
  const { seq } = before
  let entry: AuditEntry
  try {
    entry = decodeEntry(line)
  } catch (error) {
    problem(audit, { log }, 'ENTRY', seq, `it is no entry: ${(error as Error).message}`)
    return undefined
  }
  const { event, tpm } = entry
  const previous = event.kind === 'begun' ? auditStart(event) : before.head
  if ((event.kind === 'begun') !== (seq === 0) || previous === undefined) {
    problem(audit, { log }, 'ENTRY', seq, seq === 0 ? 'a log begins with whose it is' : 'a log begins once')
    return undefined
  }
  if (entry.seq !== seq || !equal(entry.previous, previous)) {
    const why = 'it does not hang on the entry before: something was changed, added or taken out'
    problem(audit, { log }, 'CHAIN', seq, why)
    return undefined
  }
  if (before.clock !== null && tpm !== null && isEarlier(tpm, before.clock))
    problem(audit, { log }, 'CLOCK', seq, 'the TPM had fewer resets, or less time, than before: its state was set back')
  return entry
}

/** The clock may go back at a reset without a shutdown. */
function isEarlier(now: AuditClock, before: AuditClock): boolean {
  if (now.resetCount !== before.resetCount) return now.resetCount < before.resetCount
  return (
    now.restartCount < before.restartCount || (now.restartCount === before.restartCount && now.clock < before.clock)
  )
}

/** That a witness saw a log at a place; the quote behind it holds. */
interface Claim extends AuditPlace {
  readonly host: HostId
  readonly witness: HostId
  /** Where it stands. */
  readonly from: Read
  readonly entry: number
  readonly wallMs: number
}

/** What a heartbeat's entry shows, on either side. */
async function claimsOf(
  { seq, wallMs, event }: AuditEntry,
  host: HostId,
  { log, audit }: Of & { readonly audit: Auditing },
): Promise<readonly Omit<Claim, 'from'>[]> {
  if (event.kind !== 'heartbeat' && event.kind !== 'countersign') return []
  const { epoch, length, head } = event
  const seen =
    event.kind === 'heartbeat'
      ? event.countersigns.map(({ witness, ...countersign }) => ({ host, witness, countersign }))
      : [{ host: event.host, witness: host, countersign: event.countersign }]
  const claims: Omit<Claim, 'from'>[] = []
  for (const { host: of, witness, countersign } of seen) {
    const facts = { host: of, witness, epoch, auditHead: head, auditLength: length, exporter: countersign.exporter }
    const statement = heartbeatStatement(facts, sha256)
    if (await quoteHolds(countersign, { witness, statement }, { log: { log }, seq, audit }))
      claims.push({ length, head, host: of, witness, entry: seq, wallMs })
  }
  return claims
}

interface Place {
  readonly log: Of
  readonly seq: number
  readonly audit: Auditing
}

async function quoteHolds(
  { akPublic, attest, signature }: SignedQuote,
  { witness, statement }: { readonly witness: HostId; readonly statement: Uint8Array },
  { log, seq, audit }: Place,
): Promise<boolean> {
  audit.quotes += 1
  const checked = checkQuote({ attest, signature }, { akPublic, statement })
  if (checked.kind === 'broken') {
    problem(audit, log, 'QUOTE', seq, `${witness} did not sign that: ${checked.why}`)
    return false
  }
  if (audit.keys === undefined || audit.keys.get(witness)?.has(akName(akPublic)) === true) return true
  problem(audit, log, 'QUOTE', seq, `the key that signed is not the one that the plans have for ${witness}`)
  return false
}

function checkClaim(claim: Claim, logs: ReadonlyMap<HostId, Read>, audit: Auditing): void {
  const { host, witness, length, head, from, entry } = claim
  const log = logs.get(host)
  if (log === undefined) return
  if (log === from && length > entry) {
    problem(audit, log, 'HEAD', entry, `${witness} countersigned ${length} entries, and this is entry ${entry}`)
    return
  }
  const found = log.heads.at(length)
  if (found === undefined) {
    const what = `${witness} countersigned ${length} entries, and ${log.length} are there`
    const where = `${what} (${from.log}, entry ${entry})`
    if (claim.wallMs > audit.gatheredMs) note(audit, log, 'LATER', undefined, where)
    else problem(audit, log, 'CUT', undefined, where)
  } else if (!equal(found, head)) {
    const what = `${witness} countersigned another entry than the one before it`
    problem(audit, log, 'HEAD', length, `${what} (${from.log}, entry ${entry}): ${hex(head).slice(0, 8)}…`)
  } else {
    if (length > log.countersigned.length) log.countersigned = { length, witnesses: [] }
    const { witnesses } = log.countersigned
    if (length === log.countersigned.length && !witnesses.includes(witness)) witnesses.push(witness)
  }
}

type Given = AuditEvent & { readonly kind: 'share-given' }

async function checkShares(log: Read, logs: ReadonlyMap<HostId, Read>, audit: Auditing): Promise<void> {
  const { host } = log
  if (host === undefined) return
  for (const { seq, wallMs, event } of log.entries) {
    if (event.kind === 'share-given') {
      await checkWord(event, { of: event.host, by: host }, { log, seq, audit })
      checkUsed(event, host, { log, seq, audit }, logs.get(event.host))
    }
    if (event.kind === 'release')
      for (const { witness, ...share } of event.shares) {
        const holds = await checkWord(share, { of: host, by: witness }, { log, seq, audit })
        const giver = logs.get(witness)
        if (!holds || giver === undefined || giver.given.has(shareKey(host, share))) continue
        const what = `${host} has share ${share.index} of epoch ${share.epoch} of it (${log.log}, entry ${seq}), and it says nothing of that`
        if (wallMs > audit.gatheredMs) note(audit, giver, 'LATER', undefined, what)
        else problem(audit, giver, 'SHARE', undefined, what)
      }
  }
}

function checkWord(
  share: LoggedShare,
  { of, by }: { readonly of: HostId; readonly by: HostId },
  place: Place,
): Promise<boolean> {
  const { epoch, index, attempt, plan, quote } = share
  const statement = releaseStatement({ host: of, epoch, index, attempt, planDigest: plan }, sha256)
  return quoteHolds(quote, { witness: by, statement }, place)
}

function checkUsed(event: Given, witness: HostId, { log, seq, audit }: Place, asked: Read | undefined): void {
  if (asked === undefined) return
  const isKnown = asked.released.has(attemptKey(event))
  if (!isKnown)
    note(
      audit,
      log,
      'UNUSED',
      seq,
      `${witness} gave a share to ${event.host}, whose log has no release in that attempt`,
    )
}
