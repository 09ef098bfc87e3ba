/** What a log shows and what it does not: the cases of vectors/event-log that are made here. */

import { hash as digest } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { fromHex } from '../bytes/index.ts'
import {
  type BankHash,
  type BankValues,
  compareRegisters,
  decodeEventLogRules,
  evaluateRules,
  factsOf,
  parseEventLog,
  replayEventLog,
} from './index.ts'
import { sampleCases } from './sample-cases.ts'
import { sampleLog } from './sample-logs.ts'
import { refusedCases } from './sample-refused.ts'

const folder = new URL('../../../../vectors/event-log/', import.meta.url)
const hash: BankHash = (bank, data) => new Uint8Array(digest(bank === 'sm3_256' ? 'sm3' : bank, data, 'buffer'))

interface Expected {
  quoted: Record<string, Record<string, string>>
  rules: unknown
  answers: string[]
  notes: string[]
  firstMisfit: number | null
}

function quotedOf({ quoted }: Expected): BankValues {
  const values = (registers: Record<string, string>): Record<string, Uint8Array> =>
    Object.fromEntries(Object.entries(registers).map(([pcr, value]) => [pcr, fromHex(value)]))
  return Object.fromEntries(Object.entries(quoted).map(([bank, registers]) => [bank, values(registers)]))
}

describe('evaluateRules', () => {
  test.each(sampleCases(hash).map(({ name, why }) => [name, why]))('%s: %s', (name) => {
    const expected = JSON.parse(readFileSync(new URL(`${name}/expected.json`, folder), 'utf8')) as Expected
    const log = parseEventLog(new Uint8Array(readFileSync(new URL(`${name}/input.bin`, folder))))
    const quoted = quotedOf(expected)
    const comparison = compareRegisters({ log, replay: replayEventLog(log, hash), quoted, hash })
    const facts = factsOf({ log, comparison, hash })
    const answers = evaluateRules({ rules: decodeEventLogRules(expected.rules), facts, quoted, hash })
    expect(answers.map(({ answer }) => answer)).toEqual(expected.answers)
    expect(facts.notes.map(({ code }) => code)).toEqual(expected.notes)
    expect(comparison.firstMisfit ?? null).toBe(expected.firstMisfit)
  })
})

test('the vectors are those that are made here', () => {
  const made = [
    ...sampleCases(hash).map(({ name, boot }) => ({ name, bytes: sampleLog(boot, hash) })),
    ...refusedCases(hash),
  ]
  for (const { name, bytes } of made)
    expect([name, readFileSync(new URL(`${name}/input.bin`, folder)).equals(bytes)]).toEqual([name, true])
})
