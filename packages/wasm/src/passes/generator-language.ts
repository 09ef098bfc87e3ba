/** What random programs do besides numbers and loops: exceptions of one kind, tail calls, references and tables. */

import { signed, unsigned, type Signature } from '../module/assembler.ts'
import type { Numeric } from './generator-tables.ts'

export type Language = 'legacy' | 'exnref'

export const TAGS: readonly Signature[] = [{ params: ['i32'] }, { params: ['i64', 'f64'] }, {}]

/** For the blocks that clauses lead to. */
export const CLAUSE_TYPES: readonly Signature[] = [{ results: ['i64', 'f64'] }, { results: ['i32', 'exnref'] }]

const EMPTY = 0x40
const END = 0x0b
const EXNREF = 0x69

/** What the generator of a function lends to this part of it. */
export interface Lender {
  readonly random: (below: number) => number
  readonly statements: (most: number) => number[]
  readonly value: (type: Numeric, depth: number) => number[]
  /** Makes the topmost operand, an f64, canonical where the program has to. */
  readonly canonical: () => number[]
  /** Locals that nothing else reads. */
  readonly spare: { readonly i64: number; readonly f64: number }
  readonly exception: number
  readonly reference: number
  readonly own: Signature
  readonly signatures: readonly Signature[]
  readonly clauseType: (index: number) => number[]
  readonly typeOf: (callee: number) => number
  /** Leaves whether a call may be made still, and takes one from what may. */
  readonly mayCall: readonly number[]
  /** All but the first argument of a call. */
  readonly moreArguments: (callee: number) => number[]
}

export function languageStatement(language: Language, lender: Lender): number[] {
  const { random } = lender
  switch (random(7)) {
    case 0:
      return sometimes(lender, throwAny(lender))
    case 1:
    case 2:
      return language === 'legacy' ? legacyTry(lender) : tryTable(lender)
    case 3: {
      // Operands below, and a result.
      const plain = [...lender.value('i32', 1), 0x06, 0x7f, ...lender.statements(2), ...lender.value('i32', 1)]
      const whole = language === 'legacy' ? [...plain, 0x19, ...lender.value('i32', 1), END] : lender.value('i32', 2)
      return language === 'legacy' ? [...whole, 0x6a, 0x24, 1] : [...whole, ...tryTable(lender), 0x24, 1]
    }
    case 4:
      return tailCall(lender)
    case 5:
      return references(lender)
    default:
      return tableSwap(lender)
  }
}

function sometimes({ value }: Lender, code: readonly number[]): number[] {
  return [...value('i32', 1), 0x41, 3, 0x71, 0x45, 0x04, EMPTY, ...code, END]
}

function throwAny({ random, value }: Lender): number[] {
  const tag = random(3)
  const payload = [() => value('i32', 1), () => [...value('i64', 1), ...value('f64', 1)], () => []][tag]()
  return [...payload, 0x08, tag]
}

/** Behind the second tag's payload is on the stack. */
function useSecond({ spare, canonical }: Lender): number[] {
  return [0x21, spare.f64, 0x24, 2, 0x20, spare.f64, ...canonical(), 0x24, 4]
}

function legacyTry(lender: Lender): number[] {
  const { random, statements } = lender
  const body = [0x06, EMPTY, ...statements(2), ...sometimes(lender, throwAny(lender)), ...statements(2)]
  if (random(5) === 0) return [...body, 0x18, 0]
  const again = (): number[] => (random(2) === 0 ? [] : sometimes(lender, [0x09, 1]))
  const deepAgain = [0x02, EMPTY, 0x03, EMPTY, ...statements(1), ...sometimes(lender, [0x09, 3]), END, END]
  if (random(3) > 0) body.push(0x07, 0, 0x24, 1, ...statements(2), ...again())
  if (random(3) > 0) body.push(0x07, 1, ...useSecond(lender), ...statements(1), ...(random(2) === 0 ? deepAgain : []))
  if (random(3) > 0) body.push(0x19, ...statements(2), ...again(), ...statements(1))
  return [...body, END]
}

function tryTable(lender: Lender): number[] {
  const { random, statements, exception, clauseType } = lender
  // Labels: 0 a block of an i32, 1 of an i64 and an f64, 2 of an i32 and an exception, 3 of an exception, 4 the end.
  const clauses = [
    [0, 0, 0],
    [0, 1, 1],
    [1, 0, 2],
    [1, 2, 3],
    [2, 4],
    [3, 3],
  ].filter(() => random(2) === 0)
  const again = (): number[] => sometimes(lender, [0x20, exception, 0x0a])
  const body = [...statements(2), ...sometimes(lender, throwAny(lender)), ...statements(2)]
  return [
    ...[0x02, EMPTY, 0x02, EXNREF, 0x02, ...clauseType(1), 0x02, ...clauseType(0), 0x02, 0x7f],
    ...[0x1f, EMPTY, clauses.length, ...clauses.flat(), ...body, END, 0x0c, 4, END],
    ...[0x24, 1, ...statements(2), 0x0c, 3, END],
    ...[...useSecond(lender), ...statements(1), 0x0c, 2, END],
    ...[0x21, exception, 0x24, 1, ...statements(1), ...again(), 0x0c, 1, END],
    ...[0x21, exception, ...statements(2), ...again(), 0x20, exception, 0xd1, 0x24, 1, END],
  ]
}

function tailCall({ random, own, signatures, mayCall, moreArguments, typeOf }: Lender): number[] {
  const results = own.results?.join()
  const fitting = [...signatures.keys()].filter((index) => signatures[index].results?.join() === results)
  const callee = fitting[random(fitting.length)]
  const call = random(2) === 0 ? [0x12, callee] : [0x41, callee, 0x13, ...unsigned(typeOf(callee)), 0]
  return [...mayCall, 0x04, EMPTY, 0x20, 0, 0x41, 1, 0x6b, ...moreArguments(callee), ...call, END]
}

function references({ random, signatures, reference }: Lender): number[] {
  const make = random(4) === 0 ? [0xd0, 0x70] : [0xd2, random(signatures.length)]
  return [0x20, reference, 0xd1, 0x24, 1, ...make, 0x21, reference]
}

/** Puts a function of the same type in an entry of the table, or makes the table longer. */
function tableSwap({ random, signatures, typeOf, reference }: Lender): number[] {
  if (random(4) === 0) return [0x20, reference, 0x41, ...signed(random(3)), 0xfc, 0x0f, 0, 0x24, 1]
  const entry = random(signatures.length)
  const same = [...signatures.keys()].filter((index) => typeOf(index) === typeOf(entry))
  const from = same[random(same.length)]
  const value = random(2) === 0 ? [0xd2, from] : [0x41, from, 0x25, 0]
  return [0x41, entry, ...value, 0x26, 0]
}
