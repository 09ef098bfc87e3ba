/** Statements: who may make them, and that one is not taken for another. */
import { canonical, utf8 } from '@reprise/core'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  encodeStatement,
  parseStatement,
  readStatement,
  type SignedStatement,
  signStatement,
  type Statement,
} from './statements.ts'
import { codeOf, testOperator, testPlan, type TestOperator } from './testing.ts'

const [alice, bob, mallory] = ['alice', 'bob', 'mallory'].map(testOperator)
const plan = testPlan({ version: 3, operators: [alice, bob], needed: 2 })
const revocation: Statement = { kind: 'revocation', fleet: 'lab', host: 'h2', madeMs: 1_700_000_000_000 }
const extension: Statement = { kind: 'extension', fleet: 'lab', host: 'h2', fromMs: 1_700_000_000_000, ageMs: 60_000 }
const delivery: Statement = {
  ...{ kind: 'delivery', fleet: 'lab', host: 'h2', by: 'h1' },
  ...{ madeMs: 1_700_000_000_000, untilMs: 1_700_000_600_000 },
}

function signed(statement: Statement, ...by: readonly TestOperator[]): SignedStatement {
  return by.reduce<SignedStatement>((before, { signer }) => signStatement(before, signer, plan), {
    statement,
    signatures: [],
    digest: new Uint8Array(),
  })
}

const read = (statement: Omit<SignedStatement, 'digest'>): string =>
  codeOf(() => readStatement(encodeStatement(statement), plan))

describe.each([revocation, extension, delivery])('a $kind', (statement) => {
  test('counts when enough operators of the plan signed it', () => {
    const whole = signed(statement, bob, alice)
    expect(readStatement(encodeStatement(whole), plan)).toEqual(whole)
    expect(read(signed(statement, alice))).toBe('STATEMENT')
    expect(codeOf(() => parseStatement(encodeStatement(signed(statement, alice)), plan))).toBe('taken')
    expect(codeOf(() => signed(statement, mallory))).toBe('KEY')
    expect(read(signed(statement, alice, alice))).toBe('STATEMENT')
  })

  test('does not count for another host, fleet, time or kind than was signed', () => {
    const { signatures } = signed(statement, alice, bob)
    const other = statement.kind === 'revocation' ? extension : revocation
    const time = statement.kind === 'extension' ? { ageMs: 0 } : { madeMs: 5 }
    for (const change of [{ host: 'h3' }, { fleet: 'else' }, time])
      expect(read({ statement: { ...statement, ...change }, signatures })).toBe('STATEMENT')
    expect(read({ statement: other, signatures })).toBe('STATEMENT')
    expect(read({ statement, signatures: [signatures[0], signatures[0]] })).toBe('STATEMENT')
    const swapped = [{ ...signatures[0], operator: 'bob' }, signatures[1]]
    expect(read({ statement, signatures: swapped })).toBe('STATEMENT')
  })

  test('is of a host that the plan has', () => {
    expect(read(signed({ ...statement, host: 'h9' }, alice, bob))).toBe('STATEMENT')
  })

  test('is refused with any byte of it changed, and with anything else in it', () => {
    const bytes = encodeStatement(signed(statement, alice, bob))
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const changed = bytes.slice()
        changed[at] ^= flip
        expect(codeOf(() => readStatement(changed, plan))).toBe('STATEMENT')
      }),
      { numRuns: 300 },
    )
    const json = JSON.parse(Buffer.from(bytes).toString()) as Record<string, unknown>
    fc.assert(
      fc.property(fc.constantFrom('schema', 'statement', 'signatures', 'more'), fc.jsonValue(), (member, value) => {
        expect(codeOf(() => readStatement(utf8(canonical({ ...json, [member]: value })), plan))).toBe('STATEMENT')
      }),
    )
  })
})

describe('a delivery', () => {
  test('is between two hosts that the plan has', () => {
    for (const change of [{ by: 'h9' }, { by: 'h2' }])
      expect(read(signed({ ...delivery, ...change }, alice, bob))).toBe('STATEMENT')
  })
})
