/** What a journal says of its run: one chain of checkpoints, however many attempts it took. Format: spec/journal.md. */
import {
  canonical,
  CHECKPOINT_FINAL,
  decodeAttempt,
  decodeAttestation,
  decodeCheckpoint,
  decodeComputation,
  decodeOutcome,
  decodeSnapshot,
  type Attempt,
  type Attestation,
  type Checkpoint,
  type Computation,
  type Outcome,
  type Snapshot,
} from '@reprise/core'
import { RunnerError } from '../error.ts'
import type { JournalEntry, JournalHost, KeepSnapshots } from './journal.ts'

export interface JournalRun {
  readonly run: string
  readonly computation: Computation
  /** The first one, and those of which something was signed. */
  readonly attempts: readonly Attempt[]
  /** As the attempts number them. */
  readonly hosts: readonly JournalHost[]
  /** By seq. */
  readonly checkpoints: readonly Checkpoint[]
  readonly snapshots: readonly Snapshot[]
  readonly attestations: readonly Attestation[]
  /** The last checkpoint that an attestation covers; -1 when there is none. */
  readonly signedSeq: number
  readonly outcome: Outcome | null
  /** What was asked for last. */
  readonly keep: KeepSnapshots
  /** How the last attempt came to its end; null when it was cut off. */
  readonly ended: 'finished' | 'interrupted' | null
}

/** What an attempt knows that goes on from a snapshot. */
export interface ResumePoint {
  readonly snapshot: Snapshot
  /** Up to the one of the snapshot. */
  readonly checkpoints: readonly Checkpoint[]
  /** Those after it that were signed: computed again, each MUST come out equal. */
  readonly expected: readonly Checkpoint[]
  /** Those that were signed; others are taken anew, and only after the last expected checkpoint. */
  readonly snapshots: readonly Snapshot[]
}

/**
 * Where the run can go on.
 *
 * @param from - The checkpoint of a snapshot; the newest possible one unless given.
 * @returns Undefined when no such snapshot was signed, or the guest had ended there.
 */
export function resumePoint(run: JournalRun, from?: number): ResumePoint | undefined {
  const { checkpoints, signedSeq } = run
  const snapshots = run.snapshots.filter(({ seq }) => seq <= signedSeq)
  const snapshot = snapshots.findLast(({ seq }) => (from ?? seq) === seq && checkpoints[seq]?.kind !== CHECKPOINT_FINAL)
  if (snapshot === undefined) return undefined
  return {
    snapshot,
    checkpoints: checkpoints.slice(0, snapshot.seq + 1),
    expected: checkpoints.slice(snapshot.seq + 1, signedSeq + 1),
    snapshots,
  }
}

/**
 * Those snapshots whose bytes a run that nobody writes keeps: the newest signed ones, as many as it was asked to keep, and
 * the one that it can go on from until it has ended. Rules: spec/journal.md §3.
 */
export function keptSnapshots(run: JournalRun): readonly Snapshot[] {
  const signed = run.snapshots.filter(({ seq }) => seq <= run.signedSeq)
  const point = run.ended === 'finished' ? undefined : resumePoint(run)?.snapshot
  const kept = run.keep === 'none' ? [] : run.keep === 'all' ? signed : signed.slice(-run.keep)
  return point === undefined || kept.includes(point) ? kept : [point, ...kept]
}

/** The number that a host gets in the next attempt: the one it has, or the next one. @param ak - TPMT_PUBLIC, hex. */
export function hostNumber(run: Pick<JournalRun, 'hosts'>, ak: string): number {
  const known = run.hosts.findIndex((host) => host.ak === ak)
  return known < 0 ? run.hosts.length : known
}

/**
 * Reads the entries of one journal, all of them decoded as exactly as a record's.
 *
 * @throws {@link RunnerError} `JOURNAL_DAMAGED` for entries that no honest writer leaves in this order.
 */
export function runOf(entries: readonly JournalEntry[]): JournalRun {
  const [start, ...rest] = entries
  if (start?.kind !== 'start') throw damaged(1, 'is not a start')
  const reading = at(1, () => new Reading(start))
  for (const [i, entry] of rest.entries()) at(i + 2, () => reading.take(entry))
  return at(entries.length, () => reading.end())
}

type Start = Extract<JournalEntry, { kind: 'start' }>

class Reading {
  readonly #run: string
  readonly #computation: Computation
  readonly #attempts: { readonly attempt: Attempt; readonly host: JournalHost }[] = []
  #checkpoints: Checkpoint[] = []
  #snapshots: Snapshot[] = []
  readonly #attestations: Attestation[] = []
  #signedSeq = -1
  #outcome: Outcome | null = null
  #keep: KeepSnapshots = 'all'
  #ended: JournalRun['ended'] = null
  /** The seq of the checkpoint that comes next. */
  #next = 0

  constructor(start: Start) {
    this.#run = start.run
    this.#computation = decodeComputation(start.computation)
    this.#begin(decodeAttempt(start.attempt), start.host)
  }

  take(entry: JournalEntry): void {
    if (entry.kind !== 'attempt') must(this.#ended === null, 'comes after an end')
    switch (entry.kind) {
      case 'start':
        throw new Inconsistent('is a second start')
      case 'attempt':
        return this.#goOn(decodeAttempt(entry.attempt), entry.host)
      case 'checkpoint':
        return this.#checkpoint(decodeCheckpoint(entry.checkpoint))
      case 'snapshot':
        return this.#snapshot(decodeSnapshot(entry.snapshot))
      case 'attestation':
        return this.#attestation(decodeAttestation(entry.attestation))
      case 'keep':
        must(isKeep(entry.snapshots), 'keeps snapshots in no known way')
        this.#keep = entry.snapshots
        return
      case 'outcome':
        return this.#setOutcome(decodeOutcome(entry.outcome))
      case 'end':
        this.#ended = entry.reason
    }
  }

  end(): JournalRun {
    this.#dropUnsignedAttempt()
    return {
      run: this.#run,
      computation: this.#computation,
      attempts: this.#attempts.map(({ attempt }) => attempt),
      hosts: this.#hosts(),
      checkpoints: this.#checkpoints,
      snapshots: this.#snapshots,
      attestations: this.#attestations,
      signedSeq: this.#signedSeq,
      // It stands before the final checkpoint: a crash may have come between.
      outcome: this.#checkpoints.at(-1)?.kind === CHECKPOINT_FINAL ? this.#outcome : null,
      keep: this.#keep,
      ended: this.#ended,
    }
  }

  #hosts(): JournalHost[] {
    const hosts: JournalHost[] = []
    for (const { attempt, host } of this.#attempts) hosts[attempt.host] = host
    return hosts
  }

  /** Nothing shows where an attempt was of which nothing is signed; the next one takes its number. */
  #dropUnsignedAttempt(): void {
    const last = this.#attempts.length
    if (last > 1 && this.#attestations.at(-1)?.attempt !== last) this.#attempts.pop()
  }

  #begin(attempt: Attempt, host: JournalHost): void {
    const number = this.#attempts.length + 1
    must(attempt.attempt === number, `is attempt ${attempt.attempt}, where ${number} comes next`)
    must(attempt.firstSeq === (attempt.from === null ? 0 : attempt.from + 1), 'does not begin after its snapshot')
    must(attempt.host === hostNumber({ hosts: this.#hosts() }, host.ak), 'gives its host another number')
    this.#attempts.push({ attempt, host })
    this.#next = attempt.firstSeq
  }

  /** What was not signed is forgotten: it is computed again, never trusted. */
  #goOn(attempt: Attempt, host: JournalHost): void {
    must(this.#ended !== 'finished', 'goes on after the end')
    this.#dropUnsignedAttempt()
    this.#checkpoints.length = Math.min(this.#checkpoints.length, this.#signedSeq + 1)
    this.#snapshots = this.#snapshots.filter(({ seq }) => seq <= this.#signedSeq)
    if (this.#checkpoints.at(-1)?.kind !== CHECKPOINT_FINAL) this.#outcome = null
    this.#ended = null
    must(
      this.#snapshots.some(({ seq }) => seq === attempt.from),
      'goes on from no snapshot that was signed',
    )
    this.#begin(attempt, host)
  }

  #checkpoint(checkpoint: Checkpoint): void {
    const { seq } = checkpoint
    must(seq === this.#next, `is checkpoint ${seq}, where ${this.#next} comes next`)
    this.#next++
    const expected = this.#checkpoints[seq]
    if (expected === undefined) this.#checkpoints.push(checkpoint)
    else must(canonical(expected) === canonical(checkpoint), `is not the checkpoint ${seq} that was signed`)
  }

  #snapshot(snapshot: Snapshot): void {
    const { seq } = snapshot
    must(seq < this.#next, 'is a snapshot of a checkpoint that comes later')
    must(seq > (this.#snapshots.at(-1)?.seq ?? 0), 'is a snapshot before the one before it')
    must(seq > this.#signedSeq, `is a snapshot of checkpoint ${seq}, which was signed without it`)
    this.#snapshots.push(snapshot)
  }

  #attestation(attestation: Attestation): void {
    const { attempt, seq } = attestation
    must(attempt === this.#attempts.length, `is an attestation of attempt ${attempt}`)
    must(seq < this.#next, 'is an attestation of a checkpoint that comes later')
    this.#attestations.push(attestation)
    this.#signedSeq = Math.max(this.#signedSeq, seq)
  }

  #setOutcome(outcome: Outcome): void {
    must(this.#outcome === null || canonical(this.#outcome) === canonical(outcome), 'is another outcome')
    this.#outcome = outcome
  }
}

function isKeep(value: unknown): boolean {
  return value === 'all' || value === 'none' || (Number.isSafeInteger(value) && Number(value) > 0)
}

class Inconsistent extends Error {}

function must(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Inconsistent(otherwise)
}

/** Says at which line it went wrong. */
function at<T>(line: number, read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw damaged(line, error instanceof Error ? error.message : String(error), error)
  }
}

function damaged(line: number, what: string, cause?: unknown): RunnerError {
  return new RunnerError('JOURNAL_DAMAGED', {
    message: `line ${line} of the journal ${what}`,
    hint: 'it was written by another version of Reprise, or changed; restore it from a copy',
    data: { line },
    cause,
  })
}
