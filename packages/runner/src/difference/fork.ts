/** Whether two records are of one run that was gone on with twice. */
import type { Attestation } from '@reprise/core'
import { compareHistories } from '../journal/index.ts'
import type { LoadedRecord } from '../record/index.ts'

export interface Fork {
  readonly run: string
  /** The checkpoint of the last attestation that is in both; null when none is. */
  readonly agreedSeq: number | null
  /** Attempt and checkpoint of the first attestation that is not in the other one. */
  readonly a: ForkSide
  readonly b: ForkSide
}

export interface ForkSide {
  readonly attempt: number
  readonly seq: number
  readonly host: number
  readonly startedAt: string
}

/** Undefined for records of different runs, and for one that goes on where the other ends. */
export async function findFork(a: LoadedRecord, b: LoadedRecord): Promise<Fork | undefined> {
  const { run } = a.document
  if (run !== b.document.run) return undefined
  const compared = await compareHistories(a, b)
  if (compared.kind !== 'fork') return undefined
  return { run, agreedSeq: compared.agreed?.seq ?? null, a: sideOf(a, compared.a), b: sideOf(b, compared.b) }
}

function sideOf({ document: { attempts } }: LoadedRecord, { attempt: number, seq }: Attestation): ForkSide {
  // An attestation of an attempt that is not there: verification says so.
  const { host, environment } = attempts[number - 1] ?? attempts[0]
  return { attempt: number, seq, host, startedAt: environment.startedAt }
}
