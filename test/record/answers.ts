/**
 * Whole answers of the verifier to the cases: what a reader is told, wordings included, and so which check spoke and where. Kept
 * in answers.jsonl, written by `npm run vectors`; a line there that changes is an answer that changes.
 */
import { resolve } from 'node:path'
import { bytesSource, EvidenceError, verifyRecord, type VerifyResult } from '@reprise/core'
import { readerOptions, type Beside } from './reader.ts'

export const ANSWERS_FILE = resolve(import.meta.dirname, 'answers.jsonl')

/** The case that the others change something in. */
export const FIRST_ANSWER = 'whole'

/** An answer as JSON; findings in a line each. */
export type Told = Readonly<Record<string, unknown>>

export type Answer = VerifyResult | { readonly error: string }

export async function answerTo(bytes: Uint8Array, beside: Beside): Promise<Answer> {
  try {
    return await verifyRecord(bytesSource(bytes), await readerOptions(beside))
  } catch (error) {
    if (error instanceof EvidenceError) return { error: error.code }
    throw error
  }
}

/** The document is the record's own, and hints belong to codes. */
export function toldIn(answer: Answer): Told {
  if ('error' in answer) return answer
  const { document: _, findings, ...told } = answer
  return {
    ...told,
    findings: findings.map(({ code, severity, path, message }) => `${severity} ${code} ${path}: ${message}`),
  }
}

/** The fields that differ from those of another answer. */
export function differingFrom(other: Told, told: Told): Told {
  return Object.fromEntries(
    Object.entries(told).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(other[name])),
  )
}
