/** The entries of a journal. Format: spec/journal.md §1. */
import {
  canonical,
  decodeCheckpoint,
  type Attempt,
  type Attestation,
  type Checkpoint,
  type Computation,
  type Outcome,
  type Snapshot,
} from '@reprise/core'
import { crc32 } from 'node:zlib'

/** TPMT_PUBLIC of the AK, DER of its certificates as a record has them, and of the EK certificate; hex. */
export interface JournalHost {
  readonly ak: string
  readonly certificates: readonly string[]
  readonly ek: string | null
}

/** How many of the newest signed snapshots keep their bytes; `none`: none once the run has ended, the newest until then. */
export type KeepSnapshots = number | 'all' | 'none'

export type JournalEntry =
  | {
      readonly kind: 'start'
      readonly attempt: Attempt
      readonly computation: Computation
      readonly host: JournalHost
      readonly run: string
    }
  | { readonly kind: 'attempt'; readonly attempt: Attempt; readonly host: JournalHost }
  | { readonly kind: 'keep'; readonly snapshots: KeepSnapshots }
  | { readonly kind: 'checkpoint'; readonly checkpoint: Checkpoint }
  | { readonly kind: 'snapshot'; readonly snapshot: Snapshot }
  | { readonly kind: 'attestation'; readonly attestation: Attestation }
  /** The attestation after it shows a host that the computation does not want (spec/journal.md §6). */
  | { readonly kind: 'changed' }
  | { readonly kind: 'outcome'; readonly outcome: Outcome }
  | { readonly kind: 'end'; readonly reason: 'finished' | 'interrupted' }
  | { readonly kind: 'alarm'; readonly alarm: Alarm }
  | { readonly kind: 'discard' }

/** What was signed came out differently (spec/journal.md §3). */
export interface Alarm {
  /** The attempt that was stopped. */
  readonly attempt: number
  readonly expected: Checkpoint
  readonly actual: Checkpoint
  /** Beside the journal: what was kept of both. */
  readonly folder: string
}

/** What was signed came out differently, as an entry says it. @throws EvidenceError `STRUCTURE`; `TypeError`. */
export function decodeAlarm({ attempt, expected, actual, folder }: Alarm): Alarm {
  if (!Number.isSafeInteger(attempt) || !/^alarm-[0-9]+-[0-9]+$/.test(folder))
    throw new TypeError('names no attempt, or no folder beside the journal')
  return { attempt, expected: decodeCheckpoint(expected), actual: decodeCheckpoint(actual), folder }
}

/** An entry as it stands in the file. */
export function lineOf(entry: JournalEntry): string {
  const text = canonical(entry)
  return `${checksum(text)} ${text}\n`
}

/** Of the canonical JSON of an entry, as it stands at the beginning of its line. */
export function checksum(text: string | Uint8Array): string {
  return crc32(text).toString(16).padStart(8, '0')
}
