/**
 * Random valid programs that end, for the tests that compare a program before and after rewriting: integers, floats,
 * some vectors, loops of many shapes, branches, recursion, indirect calls, several results, memory and globals.
 */

import { assemble, signed, unsigned, type Signature } from '../module/assembler.ts'
import { VALUE_TYPES, type ValueType } from '../module/opcodes.ts'
import { CLAUSE_TYPES, languageStatement, type Language, type Lender, TAGS } from './generator-language.ts'
import { canonicalFrom, zero, type Random, generatorOf, pick, storedGlobal } from './generator-parts.ts'
import { BINARY, BLOCK_TYPES, CONVERT, LOAD, type Numeric, STORE, UNARY } from './generator-tables.ts'

export interface GeneratorOptions {
  /** The program itself makes NaNs canonical wherever their bits show: then the engine alone is deterministic. */
  readonly canonicalSinks: boolean
  /** With neg, abs and copysign, which give fixed NaNs that are not canonical. */
  readonly signs: boolean
  /** With exceptions of this kind, tail calls, references and changes to tables. */
  readonly language?: Language
}

const NUMERIC = ['i32', 'i64', 'f32', 'f64'] as const
const BUDGET = 0 // what calls and loops may still use; globals 1 to 4: one of each numeric type
const INITIAL_BUDGET = 400
const EMPTY = 0x40
// The memory: integers below, floats above, so that no integer load sees a float's bits or the other way round.
const FLOAT_AREA = 0x8000

export function generate(seed: number, options: GeneratorOptions): Uint8Array<ArrayBuffer> {
  const random = generatorOf(seed)
  const signatures: Signature[] = Array.from({ length: 2 + random(3) }, () => ({
    params: ['i32', ...Array.from({ length: random(3) }, () => pick(random, NUMERIC))],
    results: Array.from({ length: random(3) }, () => pick(random, NUMERIC)),
  }))
  const functions = signatures.map((signature) => new FunctionGenerator(random, options, signatures, signature).body())
  const start = [0x41, 3, ...(signatures[0].params ?? []).slice(1).flatMap(zero), 0x10, 0]
  for (const type of (signatures[0].results ?? []).toReversed()) start.push(0x24, 1 + NUMERIC.indexOf(type as Numeric))
  for (const [i, type] of NUMERIC.entries())
    start.push(
      0x41,
      ...signed(FLOAT_AREA - 64 + 128 * (i >> 1) + 8 * i),
      ...storedGlobal(type, i, options.canonicalSinks),
    )
  const { language } = options // Half of the programs with exceptions catch what is left in the end.
  const caught = language === undefined || random(2) === 0 ? start : catching(start, language)
  return assemble({
    types: allTypes(signatures, language),
    functions: [...functions, { code: caught, exported: '_start' }],
    ...(language === undefined ? {} : { tags: TAGS }),
    memory: { minPages: 1, maxPages: 4 },
    globals: [
      { type: 'i32', initial: [0x41, ...signed(INITIAL_BUDGET)] },
      ...NUMERIC.map((type) => ({ type, initial: zero(type) })),
    ],
    table: [...signatures.keys()],
  })
}

function allTypes(signatures: readonly Signature[], language: Language | undefined): Signature[] {
  return [...signatures, ...BLOCK_TYPES, ...(language === 'exnref' ? CLAUSE_TYPES : [])]
}

function catching(code: readonly number[], language: Language): number[] {
  if (language === 'legacy') return [0x06, EMPTY, ...code, 0x19, 0x0b]
  return [0x02, EMPTY, 0x1f, EMPTY, 1, 2, 0, ...code, 0x0b, 0x0b]
}

class FunctionGenerator {
  readonly #random: Random
  readonly #options: GeneratorOptions
  readonly #signatures: readonly Signature[]
  readonly #own: Signature
  /** Parameters, then locals; the last ones are kept for loops and canonical values. */
  readonly #locals: ValueType[]
  readonly #spare: Record<Numeric, number>
  readonly #counters: number[]
  readonly #step: number
  readonly #vector: number
  readonly #lender: Lender | undefined
  #depth = 0
  /** Blocks with statements that may still stand inside of expressions. */
  #blocksLeft = 5

  constructor(random: Random, options: GeneratorOptions, signatures: readonly Signature[], own: Signature) {
    this.#random = random
    this.#options = options
    this.#signatures = signatures
    this.#own = own
    this.#locals = [...(own.params ?? []), ...Array.from({ length: 3 + random(4) }, () => pick(random, NUMERIC))]
    const spare = NUMERIC.map((type) => [type, this.#locals.push(type) - 1] as const)
    this.#spare = Object.fromEntries(spare) as Record<Numeric, number>
    this.#counters = [0, 1, 2, 3].map(() => this.#locals.push('i32') - 1)
    this.#step = this.#locals.push('i32') - 1
    this.#vector = this.#locals.push('v128') - 1
    if (options.language !== undefined) this.#lender = this.#lend(options.language)
  }

  body(): Signature & { locals: ValueType[]; code: number[] } {
    const code = [0x41, 4, 0x21, this.#step, ...this.#statements(5)]
    for (const type of this.#own.results ?? []) code.push(...this.#value(type as Numeric, 2))
    return { ...this.#own, locals: this.#locals.slice(this.#own.params?.length ?? 0), code }
  }

  #statements(most: number): number[] {
    return Array.from({ length: 1 + this.#random(most) }, () => this.#statement()).flat()
  }

  #lend(language: Language): Lender {
    return {
      random: this.#random,
      statements: (most) => this.#statements(most),
      value: (type, depth) => this.#value(type, depth),
      canonical: () => this.#canonical('f64'),
      spare: this.#spare,
      reference: this.#locals.push('funcref') - 1,
      exception: language === 'exnref' ? this.#locals.push('exnref') - 1 : -1,
      own: this.#own,
      signatures: this.#signatures,
      clauseType: (index) => this.#blockType(BLOCK_TYPES.length + index),
      typeOf: (callee) => this.#typeOf(callee),
      mayCall: this.#mayCall(),
      moreArguments: (callee) => this.#arguments(callee),
    }
  }

  #statement(): number[] {
    const { language } = this.#options
    if (this.#lender !== undefined && language !== undefined && this.#depth < 4 && this.#random(3) === 0) {
      const lender = this.#lender
      return this.#nested(() => languageStatement(language, lender))
    }
    const deep = this.#depth >= 4
    switch (this.#random(deep ? 5 : 14)) {
      case 0:
      case 1:
        return this.#setLocal()
      case 2:
        return this.#store()
      case 3:
        return this.#setGlobal()
      case 4:
        return this.#vectorStatement()
      case 5:
      case 6:
      case 7:
        return this.#loop()
      case 8:
        return this.#nested(() => [
          ...this.#value('i32', 2),
          0x04,
          EMPTY,
          ...this.#statements(3),
          0x05,
          ...this.#statements(2),
          0x0b,
        ])
      case 9:
        return this.#nested(() => [
          0x02,
          EMPTY,
          ...this.#statements(2),
          ...this.#value('i32', 2),
          0x0d,
          0,
          ...this.#statements(2),
          0x0b,
        ])
      case 10:
        return this.#nested(() => [
          ...[0x02, EMPTY, 0x02, EMPTY, 0x02, EMPTY],
          ...[...this.#value('i32', 2), 0x0e, 2, 0, 1, 2, 0x0b],
          ...[...this.#statements(2), 0x0c, 1, 0x0b, ...this.#statements(2), 0x0b],
        ])
      case 11:
        return this.#call()
      case 12:
        return this.#nested(() => [...this.#value('i32', 1), 0x45, 0x04, EMPTY, ...this.#return(), 0x0b])
      default:
        return [0x41, ...signed(this.#random(3)), 0x40, 0, 0x24, 1] // memory.grow into a global
    }
  }

  #nested(write: () => number[]): number[] {
    this.#depth++
    const code = write()
    this.#depth--
    return code
  }

  #return(): number[] {
    return [...(this.#own.results ?? []).flatMap((type) => this.#value(type as Numeric, 1)), 0x0f]
  }

  #assignable(): number {
    return 1 + this.#random(this.#spare.i32 - 1)
  }

  #setLocal(): number[] {
    const local = this.#assignable()
    return [...this.#value(this.#locals[local] as Numeric, 3), 0x21, local]
  }

  #setGlobal(): number[] {
    const type = pick(this.#random, NUMERIC)
    return [...this.#value(type, 3), ...this.#canonical(type), 0x24, 1 + NUMERIC.indexOf(type)]
  }

  #store(): number[] {
    const type = pick(this.#random, NUMERIC)
    return [...this.#address(type), ...this.#value(type, 3), ...this.#canonical(type), STORE[type], 0, 0]
  }

  #address(type: Numeric): number[] {
    const base = { i32: 0, i64: 0, f32: FLOAT_AREA, f64: FLOAT_AREA + 0x4000 }[type]
    return [...this.#value('i32', 1), 0x41, ...signed(0x3f8), 0x71, 0x41, ...signed(base), 0x6a]
  }

  #canonical(type: Numeric): number[] {
    if (!this.#options.canonicalSinks || type === 'i32' || type === 'i64') return []
    const spare = this.#spare[type]
    return [0x22, spare, ...canonicalFrom(type, [0x20, spare])]
  }

  /** Integer lanes, and float lanes that cannot be NaN or are stored as they come. */
  #vectorStatement(): number[] {
    const splat = [...this.#value('i64', 1), 0xfd, 0x12]
    return [...splat, 0x20, this.#vector, 0xfd, 0xce, 0x01, 0x22, this.#vector, 0xfd, 0x1d, 1, 0x24, 2]
  }

  #call(): number[] {
    const callee = this.#random(this.#signatures.length)
    const { results = [] } = this.#signatures[callee]
    const args = this.#arguments(callee)
    const call = this.#random(2) === 0 ? [0x10, callee] : [0x41, callee, 0x11, ...unsigned(this.#typeOf(callee)), 0]
    const drop = results.toReversed().flatMap((type) => [0x21, this.#spare[type as Numeric]])
    return [...this.#mayCall(), 0x04, EMPTY, 0x20, 0, 0x41, 1, 0x6b, ...args, ...call, ...drop, 0x0b]
  }

  #mayCall(): number[] {
    return [0x20, 0, 0x41, 0, 0x4a, ...this.#spend(), 0x71]
  }

  #arguments(callee: number): number[] {
    return (this.#signatures[callee].params ?? []).slice(1).flatMap((type) => this.#value(type as Numeric, 1))
  }

  #typeOf(callee: number): number {
    const key = ({ params = [], results = [] }: Signature): string => `${params.join()}>${results.join()}`
    const all = allTypes(this.#signatures, this.#options.language)
    return [...new Set(all.map(key))].indexOf(key(all[callee]))
  }

  #blockType(index: number): number[] {
    return unsigned(this.#typeOf(this.#signatures.length + index))
  }

  /** Statements in the middle of an expression, so that loops and calls find operands below them. */
  #valueBlock(type: Numeric): number[] {
    this.#blocksLeft--
    return this.#nested(() => {
      if (type === 'i32' && this.#random(2) === 0) {
        const turn = [
          ...this.#statements(2),
          0x41,
          3,
          0x6a,
          ...this.#spend(),
          ...this.#value('i32', 1),
          0x41,
          1,
          0x71,
          0x71,
        ]
        return [...this.#value('i32', 1), 0x03, ...this.#blockType(0), ...turn, 0x0d, 0, 0x0b]
      }
      if (type === 'i64' || type === 'f64') {
        const spare = this.#spare
        const swap = [0x21, spare.f64, 0x21, spare.i64, 0x20, spare.f64, 0x20, spare.i64]
        const operands = [...this.#value('i64', 1), ...this.#value('f64', 1)]
        const rest = type === 'f64' ? [0x21, spare.i64] : [0x21, spare.i64, 0x1a, 0x20, spare.i64]
        if (this.#random(2) === 0) {
          const early = [...this.#value('i32', 1), 0x0d, 0]
          const body = [...this.#statements(2), ...swap, ...early, ...this.#statements(2)]
          return [...operands, 0x02, ...this.#blockType(1), ...body, 0x0b, ...rest]
        }
        const arms = [...this.#statements(2), ...swap, 0x05, ...swap, ...this.#statements(2)]
        return [...operands, ...this.#value('i32', 1), 0x04, ...this.#blockType(1), ...arms, 0x0b, ...rest]
      }
      const first = [...this.#value(type, 1), ...this.#value('i32', 1), 0x0d, 0, 0x1a]
      return [0x02, VALUE_TYPES[type], ...first, ...this.#statements(2), ...this.#value(type, 1), 0x0b]
    })
  }

  /** Takes one from the budget; leaves whether there was one. */
  #spend(): number[] {
    return [0x23, BUDGET, 0x41, 1, 0x6b, 0x24, BUDGET, 0x23, BUDGET, 0x41, 0, 0x4a]
  }

  #loop(): number[] {
    const counter = this.#counters[this.#depth % this.#counters.length]
    const trips = 1 + this.#random(12)
    const get = [0x20, counter]
    const plainBody = (): number[] => [...this.#setLocal(), ...this.#store()]
    return this.#nested(() => {
      const shape = this.#random(6)
      if (shape === 0) {
        // ≠ with a literal step, maybe one that divides by no power of two.
        const step = pick(this.#random, [1, 3, 8, 24, -1, -12])
        const tail = [...get, 0x41, ...signed(step), 0x6a, 0x22, counter, 0x41, ...signed(step * trips), 0x47, 0x0d, 0]
        return [0x41, 0, 0x21, counter, 0x03, EMPTY, ...plainBody(), ...tail, 0x0b]
      }
      if (shape === 1) {
        // The step in a local, down to zero without a comparison.
        const tail = [...get, 0x20, this.#step, 0x6a, 0x22, counter, 0x0d, 0]
        return [0x41, ...signed(-4 * trips), 0x21, counter, 0x03, EMPTY, ...plainBody(), ...tail, 0x0b]
      }
      if (shape === 2) {
        // < with a bound on the left.
        const tail = [...get, 0x41, 1, 0x6a, 0x21, counter, 0x41, ...signed(trips), ...get, 0x4a, 0x0d, 0]
        return [0x41, ...signed(this.#random(20)), 0x21, counter, 0x03, EMPTY, ...plainBody(), ...tail, 0x0b]
      }
      if (shape === 3) {
        // Ends by data or budget, with an exit from the middle.
        const exit = [...this.#value('i32', 2), 0x41, 7, 0x71, 0x45, 0x0d, 1]
        return [0x02, EMPTY, 0x03, EMPTY, ...this.#statements(2), ...exit, ...this.#spend(), 0x0d, 0, 0x0b, 0x0b]
      }
      // Any statements inside: nested loops and calls.
      return [
        0x03,
        EMPTY,
        ...this.#statements(3),
        ...this.#spend(),
        ...this.#value('i32', 1),
        0x41,
        3,
        0x71,
        0x71,
        0x0d,
        0,
        0x0b,
      ]
    })
  }

  #value(type: Numeric, depth: number): number[] {
    const isFloat = type === 'f32' || type === 'f64'
    if (depth > 0 && this.#depth < 4 && this.#blocksLeft > 0 && this.#random(6) === 0) return this.#valueBlock(type)
    switch (this.#random(depth <= 0 ? 3 : 10)) {
      case 0:
        return this.#constant(type)
      case 1:
      case 2:
        return this.#read(type)
      case 3:
      case 4:
        return [...this.#value(type, depth - 1), ...this.#value(type, depth - 1), pick(this.#random, BINARY[type])]
      case 5:
        return [...this.#value(type, depth - 1), pick(this.#random, UNARY[type])]
      case 6: {
        const [from, opcode] = pick(this.#random, CONVERT[type])
        return [...this.#value(from, depth - 1), ...opcode]
      }
      case 7:
        return [...this.#address(type), LOAD[type], 0, 0]
      case 8:
        return isFloat && this.#options.signs ? this.#signed(type, depth - 1) : this.#reinterpreted(type, depth - 1)
      default: {
        const code = [...this.#value('i32', 1), 0x04, VALUE_TYPES[type], ...this.#value(type, depth - 1), 0x05]
        return [...code, ...this.#value(type, depth - 1), 0x0b]
      }
    }
  }

  #signed(type: 'f32' | 'f64', depth: number): number[] {
    const base = type === 'f32' ? 0x8b : 0x99
    if (this.#random(2) === 0) return [...this.#value(type, depth), base + this.#random(2)]
    return [...this.#value(type, depth), ...this.#value(type, depth), ...this.#canonical(type), base + 13]
  }

  /** The bits of a float as an integer; for floats themselves a select. */
  #reinterpreted(type: Numeric, depth: number): number[] {
    if (type === 'i32') return [...this.#value('f32', depth), ...this.#canonical('f32'), 0xbc]
    if (type === 'i64') return [...this.#value('f64', depth), ...this.#canonical('f64'), 0xbd]
    return [...this.#value(type, depth), ...this.#value(type, depth), ...this.#value('i32', 1), 0x1b]
  }

  #read(type: Numeric): number[] {
    const known = this.#locals.flatMap((local, index) => (local === type && index < this.#spare.i32 ? [index] : []))
    return known.length === 0 ? [0x23, 1 + NUMERIC.indexOf(type)] : [0x20, pick(this.#random, known)]
  }

  #constant(type: Numeric): number[] {
    if (type === 'i32') return [0x41, ...signed(this.#random(1 << 16) - (1 << 15))]
    if (type === 'i64') return [0x42, ...signed(this.#random(1 << 16) - (1 << 15))]
    const value = pick(this.#random, [0, -0, 1.5, -3, 1e30, 1e-30, Infinity, -Infinity, 7])
    const bytes =
      type === 'f32' ? new Uint8Array(Float32Array.of(value).buffer) : new Uint8Array(Float64Array.of(value).buffer)
    return [type === 'f32' ? 0x43 : 0x44, ...bytes]
  }
}
