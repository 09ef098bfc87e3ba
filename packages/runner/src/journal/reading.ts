/**
 * What a journal says of its run: one chain of checkpoints, however many attempts it took. Checkpoints and attestations
 * stay in the file, and are read from there as often as they are asked for. Format: spec/journal.md.
 */
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
import { decodeAlarm, type Alarm, type JournalEntry, type JournalHost, type KeepSnapshots } from './entries.ts'
import { scanJournal, type EntryPlace } from './scan.ts'
import { attestationsIn, CheckpointSections, Cursor } from './sections.ts'

export interface JournalRun {
  readonly path: string
  readonly run: string
  readonly computation: Computation
  /** The first one, and those of which something was signed. */
  readonly attempts: readonly Attempt[]
  /** As the attempts number them. */
  readonly hosts: readonly JournalHost[]
  readonly checkpointCount: number
  /** Undefined before the first. */
  readonly lastCheckpoint: Checkpoint | undefined
  readonly snapshots: readonly Snapshot[]
  readonly attestationCount: number
  readonly lastAttestation: Attestation | undefined
  /** The last checkpoint that an attestation covers; -1 when there is none. */
  readonly signedSeq: number
  /** The same without attestations that show a host which the computation does not want. */
  readonly heldSeq: number
  readonly outcome: Outcome | null
  /** What was asked for last. */
  readonly keep: KeepSnapshots
  /** How the last attempt came to its end; null when it was cut off. */
  readonly ended: 'finished' | 'interrupted' | null
  /** What was signed came out differently, and nobody has discarded that yet. */
  readonly alarm: Alarm | null
  /** By seq, many at a time, from the file. @param first - The first one. @param last - The last one. */
  checkpoints(first?: number, last?: number): AsyncIterable<readonly Checkpoint[]>
  /** In the order of signing, many at a time, from the file. */
  attestations(): AsyncIterable<readonly Attestation[]>
}

export interface ReadRun {
  /** Undefined when the journal has no whole line. */
  readonly run: JournalRun | undefined
  /** Bytes of a torn tail that were left out. */
  readonly tornBytes: number
}

/** What an attempt knows that goes on from a snapshot. */
export interface ResumePoint {
  readonly snapshot: Snapshot
  /** Those after it that were signed, by seq: computed again, each MUST come out equal. None when `last` is before `first`. */
  readonly expected: { readonly first: number; readonly last: number }
  /** Those that were signed; others are taken anew, and only after the last expected checkpoint. */
  readonly snapshots: readonly Snapshot[]
}

/**
 * Where the run can go on.
 *
 * @param from - The checkpoint of a snapshot; the newest possible one unless given.
 * @returns Undefined when no such snapshot was signed, or the guest had ended there.
 */
export function resumePoint(
  run: Pick<JournalRun, 'heldSeq' | 'lastCheckpoint' | 'signedSeq' | 'snapshots'>,
  from?: number,
): ResumePoint | undefined {
  const { heldSeq, lastCheckpoint, signedSeq } = run
  const finalSeq = lastCheckpoint?.kind === CHECKPOINT_FINAL ? lastCheckpoint.seq : undefined
  const snapshots = run.snapshots.filter(({ seq }) => seq <= signedSeq)
  const snapshot = snapshots.findLast(({ seq }) => (from ?? seq) === seq && seq !== finalSeq && seq <= heldSeq)
  if (snapshot === undefined) return undefined
  return { snapshot, expected: { first: snapshot.seq + 1, last: signedSeq }, snapshots }
}

/**
 * Those snapshots whose bytes a run that nobody writes keeps: the newest signed ones, as many as it was asked to keep, and
 * the one that it can go on from until it has ended. Rules: spec/journal.md §5.
 */
export function keptSnapshots(
  run: Pick<JournalRun, 'ended' | 'heldSeq' | 'keep' | 'lastCheckpoint' | 'signedSeq' | 'snapshots'>,
): readonly Snapshot[] {
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
 * Reads a journal that may have been cut by a crash, all of its entries decoded as exactly as a record's.
 *
 * @throws {@link RunnerError} `JOURNAL_DAMAGED` when a wrong line has correct ones after it, or for entries that no honest
 *   writer leaves in this order; `INPUT_MISSING`, `INPUT_UNREADABLE`.
 */
export async function readRun(path: string): Promise<ReadRun> {
  await using readings = new AsyncDisposableStack()
  const begun: { reading?: Reading } = {}
  const { tornBytes, wholeBytes } = await scanJournal(path, (entry, place) => {
    if (begun.reading !== undefined) return begun.reading.take(entry, place)
    begun.reading = readings.use(at(place.line, () => new Reading(path, entry)))
    return undefined
  })
  return { run: begun.reading?.end(wholeBytes), tornBytes }
}

class Reading implements AsyncDisposable {
  readonly #path: string
  readonly #run: string
  readonly #computation: Computation
  readonly #attempts: { readonly attempt: Attempt; readonly host: JournalHost }[] = []
  readonly #sections: CheckpointSections
  #snapshots: Snapshot[] = []
  #attestationCount = 0
  #lastAttestation: Attestation | undefined
  #signedSeq = -1
  #heldSeq = -1
  /** The attempt was stopped because of its host: announced, the next attestation shows it; shown, it was the last. */
  #change: 'none' | 'announced' | 'shown' = 'none'
  #outcome: Outcome | null = null
  #keep: KeepSnapshots = 'all'
  #ended: JournalRun['ended'] = null
  #alarm: Alarm | null = null
  /** The last of the checkpoints that count. */
  #last: Checkpoint | undefined
  /** The seq of the checkpoint that comes next. */
  #next = 0
  /** Signed ones that this attempt computes again. */
  #expected: Cursor<Checkpoint> | undefined

  constructor(path: string, start: JournalEntry) {
    must(start.kind === 'start', 'is not a start')
    this.#path = path
    this.#sections = new CheckpointSections(path)
    this.#run = start.run
    this.#computation = decodeComputation(start.computation)
    this.#begin(decodeAttempt(start.attempt), start.host)
  }

  /** Most entries are taken at once; a promise is for those that look back into the file. */
  take(entry: JournalEntry, { line, startBytes }: EntryPlace): Promise<void> | undefined {
    return at(line, () => this.#take(entry, startBytes))?.catch((error: unknown) => {
      throw damaged(line, error)
    })
  }

  #take(entry: JournalEntry, startBytes: number): Promise<void> | undefined {
    must(this.#ended === null || entry.kind === 'attempt', 'comes after an end')
    must(this.#alarm === null || entry.kind === 'discard', 'comes after an alarm that nobody discarded')
    switch (entry.kind) {
      case 'start':
        throw new Inconsistent('is a second start')
      case 'attempt':
        return this.#goOn(decodeAttempt(entry.attempt), entry.host, startBytes)
      case 'checkpoint':
        return this.#checkpoint(decodeCheckpoint(entry.checkpoint), startBytes)
      case 'snapshot':
        this.#snapshot(decodeSnapshot(entry.snapshot))
        return undefined
      case 'attestation':
        this.#attestation(decodeAttestation(entry.attestation))
        return undefined
      case 'keep':
        must(isKeep(entry.snapshots), 'keeps snapshots in no known way')
        this.#keep = entry.snapshots
        return undefined
      case 'changed':
        must(this.#lastAttestation?.attempt === this.#attempts.length, 'comes before an attestation of its attempt')
        must(this.#change === 'none', 'says again that the host changed')
        this.#change = 'announced'
        return undefined
      case 'outcome':
        this.#setOutcome(decodeOutcome(entry.outcome))
        return undefined
      case 'alarm':
        this.#alarm = decodeAlarm(entry.alarm)
        return undefined
      case 'discard':
        must(this.#alarm !== null, 'discards an alarm that is not there')
        this.#alarm = null
        // The attempt that it stopped does not go on; another one may.
        this.#ended = 'interrupted'
        return undefined
      case 'end':
        this.#ended = entry.reason
        return undefined
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#expected?.[Symbol.asyncDispose]()
  }

  end(wholeBytes: number): JournalRun {
    this.#dropUnsignedAttempt()
    this.#sections.end(wholeBytes, Number.POSITIVE_INFINITY)
    const [path, sections] = [this.#path, this.#sections]
    return {
      path,
      run: this.#run,
      computation: this.#computation,
      attempts: this.#attempts.map(({ attempt }) => attempt),
      hosts: this.#hosts(),
      checkpointCount: (this.#last?.seq ?? -1) + 1,
      lastCheckpoint: this.#last,
      snapshots: this.#snapshots,
      attestationCount: this.#attestationCount,
      lastAttestation: this.#lastAttestation,
      signedSeq: this.#signedSeq,
      heldSeq: this.#heldSeq,
      // It stands before the final checkpoint: a crash may have come between.
      outcome: this.#last?.kind === CHECKPOINT_FINAL ? this.#outcome : null,
      keep: this.#keep,
      ended: this.#ended,
      alarm: this.#alarm,
      checkpoints: (first = 0, last = Number.POSITIVE_INFINITY) => sections.read(first, last),
      attestations: () => attestationsIn(path, wholeBytes),
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
    if (last > 1 && this.#lastAttestation?.attempt !== last) this.#attempts.pop()
  }

  #begin(attempt: Attempt, host: JournalHost): void {
    const number = this.#attempts.length + 1
    must(attempt.attempt === number, `is attempt ${attempt.attempt}, where ${number} comes next`)
    must(attempt.firstSeq === (attempt.from ?? -1) + 1, 'begins elsewhere than after its snapshot')
    must(attempt.host === hostNumber({ hosts: this.#hosts() }, host.ak), 'gives its host another number')
    // Journals written before hosts could be enrolled name no certificates.
    this.#attempts.push({ attempt, host: { ...host, certificates: host.certificates ?? [] } })
    this.#sections.begin()
    this.#next = attempt.firstSeq
  }

  /** What was not signed is forgotten: it is computed again, never trusted. */
  async #goOn(attempt: Attempt, host: JournalHost, startBytes: number): Promise<void> {
    must(this.#ended !== 'finished', 'goes on after the end')
    await this.#expected?.[Symbol.asyncDispose]()
    this.#dropUnsignedAttempt()
    this.#sections.end(startBytes, this.#signedSeq)
    this.#snapshots = this.#snapshots.filter(({ seq }) => seq <= this.#signedSeq)
    this.#ended = null
    this.#change = 'none'
    must(
      this.#snapshots.some(({ seq }) => seq === attempt.from),
      'goes on from no snapshot that was signed',
    )
    this.#begin(attempt, host)
    this.#last = await this.#sections.at(this.#signedSeq)
    if (this.#last?.kind !== CHECKPOINT_FINAL) this.#outcome = null
    this.#expected = new Cursor(this.#sections.read(attempt.firstSeq, this.#signedSeq))
  }

  #checkpoint(checkpoint: Checkpoint, startBytes: number): Promise<void> | undefined {
    const { seq } = checkpoint
    must(seq === this.#next, `is checkpoint ${seq}, where ${this.#next} comes next`)
    this.#next++
    this.#sections.note(seq, startBytes)
    if (seq > (this.#last?.seq ?? -1)) {
      this.#last = checkpoint
      return undefined
    }
    return this.#compare(checkpoint)
  }

  async #compare(checkpoint: Checkpoint): Promise<void> {
    const expected = await this.#expected?.next()
    must(canonical(expected) === canonical(checkpoint), `is not the checkpoint ${checkpoint.seq} that was signed`)
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
    must(this.#change !== 'shown', 'is an attestation of an attempt that was stopped')
    if (this.#change === 'announced') this.#change = 'shown'
    this.#attestationCount += 1
    this.#lastAttestation = attestation
    this.#signedSeq = Math.max(this.#signedSeq, seq)
    if (this.#change === 'none') this.#heldSeq = Math.max(this.#heldSeq, seq)
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
    throw damaged(line, error)
  }
}

function damaged(line: number, cause: unknown): RunnerError {
  if (cause instanceof RunnerError) return cause
  return new RunnerError('JOURNAL_DAMAGED', {
    message: `line ${line} of the journal ${cause instanceof Error ? cause.message : String(cause)}`,
    hint: 'it was written by another version of Reprise, or changed; restore it from a copy',
    data: { line },
    cause,
  })
}
