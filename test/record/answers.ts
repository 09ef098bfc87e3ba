/**
 * Whole answers of the verifier to the cases: what a reader is told, wordings included, and so which check spoke and where. Kept
 * in answers.jsonl, written by `npm run vectors`; a line there that changes is an answer that changes.
 */
import { resolve } from 'node:path'
import { bytesSource, EvidenceError, verifyRecord } from '@reprise/core'
import { readerOptions, type Beside } from './reader.ts'

export const ANSWERS_FILE = resolve(import.meta.dirname, 'answers.jsonl')

/** The case that the others change something in. */
export const FIRST_ANSWER = 'whole'

/** An answer as JSON; findings in a line each. */
export type Told = Readonly<Record<string, unknown>>

/** The document is the record's own, and hints belong to codes. */
export async function toldOf(bytes: Uint8Array, beside: Beside): Promise<Told> {
  try {
    const { document: _, findings, ...answer } = await verifyRecord(bytesSource(bytes), await readerOptions(beside))
    return {
      ...answer,
      findings: findings.map(({ code, severity, path, message }) => `${severity} ${code} ${path}: ${message}`),
    }
  } catch (error) {
    if (error instanceof EvidenceError) return { error: error.code }
    throw error
  }
}

/** The fields that differ from those of another answer. */
export function differingFrom(other: Told, told: Told): Told {
  return Object.fromEntries(
    Object.entries(told).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(other[name])),
  )
}
