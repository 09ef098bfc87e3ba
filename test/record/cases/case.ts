/** A record for `vectors/record/`: why it is there, how it is made, and what a verifier must answer. */
import type { Evidence, FindingCode, VerifyResult } from '@reprise/core'
import { entriesOf, pack, packed, type Entry } from '../pack.ts'
import { draft, sign, type Draft, type Signed, type SignerHook } from '../sample.ts'

export interface RecordCase {
  /** The folder; ends in `_fail` unless the record verifies. */
  readonly name: string
  readonly why: string
  /** The codes of all findings but the warning SELF_ENROLLED, which nearly every sample has. */
  readonly expected:
    | ({ readonly evidence: Evidence; readonly codes: readonly FindingCode[] } & Partial<
        Pick<VerifyResult, 'enrolment' | 'tier'>
      >)
    | { readonly error: 'NOT_A_RECORD' }
  readonly make: () => Promise<Uint8Array>
  /** Files that a reader has besides: `trust.json` with what it names, `host-rules.json`. */
  readonly beside?: Readonly<Record<string, Uint8Array>>
}

/** The time at which readers with a trust policy read. */
export const READ_AT = '2026-11-23T00:00:00Z'

interface Stages {
  /** What was run and measured, before an honest signer signs it. */
  readonly draft?: (draft: Draft) => void
  /** A signer that lies. */
  readonly hook?: SignerHook
  /** After signing. */
  readonly signed?: (signed: Signed) => void
  readonly entries?: (entries: Entry[]) => void
  readonly bytes?: (bytes: Uint8Array) => Uint8Array
}

export function record(stages: Stages = {}): () => Promise<Uint8Array> {
  return async () => {
    const measured = draft()
    stages.draft?.(measured)
    const signed = sign(measured, stages.hook)
    stages.signed?.(signed)
    const entries = entriesOf(signed)
    stages.entries?.(entries)
    const bytes = await (stages.entries === undefined ? packed(signed) : pack(entries))
    return stages.bytes === undefined ? bytes : stages.bytes(bytes)
  }
}

export function verified(
  name: string,
  why: string,
  stages?: Stages,
  warnings: readonly FindingCode[] = [],
): RecordCase {
  return { name, why, expected: { evidence: 'verified', codes: warnings }, make: record(stages) }
}

export function unverifiable(name: string, why: string, codes: readonly FindingCode[], stages: Stages): RecordCase {
  return { name: `${name}_fail`, why, expected: { evidence: 'unverifiable', codes }, make: record(stages) }
}

export function refuted(name: string, why: string, codes: readonly FindingCode[], stages: Stages): RecordCase {
  return { name: `${name}_fail`, why, expected: { evidence: 'refuted', codes }, make: record(stages) }
}

export function notARecord(name: string, why: string, stages: Stages): RecordCase {
  return { name: `${name}_fail`, why, expected: { error: 'NOT_A_RECORD' }, make: record(stages) }
}

export function entryOf(entries: readonly Entry[], name: string): Entry {
  const entry = entries.find((each) => each.name.startsWith(name))
  if (entry === undefined) throw new Error(`the sample has no entry ${name}`)
  return entry
}

/** Replaces text in an entry that must hold it. */
export function edit(name: string, from: string, to: string): (entries: Entry[]) => void {
  return (entries) => {
    const entry = entryOf(entries, name)
    const text = Buffer.from(entry.content).toString()
    if (!text.includes(from)) throw new Error(`${name} does not hold ${from}`)
    entry.content = Buffer.from(text.replace(from, to))
  }
}
