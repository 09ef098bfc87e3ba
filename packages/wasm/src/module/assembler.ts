/** Puts small modules together, for tests and vectors: types by signature, code as bytes. */

import { VALUE_TYPES, type ValueType } from './opcodes.ts'
import { ByteSink } from './sink.ts'

export interface Signature {
  readonly params?: readonly ValueType[]
  readonly results?: readonly ValueType[]
}

export interface AssembledModule {
  readonly imports?: readonly (Signature & { readonly module: string; readonly name: string })[]
  readonly functions: readonly (Signature & {
    readonly locals?: readonly ValueType[]
    /** Without the final `end`. */
    readonly code: readonly number[]
    readonly exported?: string
  })[]
  readonly globals?: readonly {
    readonly type: ValueType
    readonly mutable?: boolean
    /** A constant expression without its `end`. */
    readonly initial: readonly number[]
  }[]
  readonly memory?: { readonly minPages: number; readonly maxPages?: number }
  /** Functions in the one table, from entry 0. */
  readonly table?: readonly number[]
  /** Passive element segments, behind the one of `table`. */
  readonly passive?: readonly (readonly number[])[]
  /** Signatures of exception tags; without results. */
  readonly tags?: readonly Signature[]
  /** Functions that a `ref.func` may name without standing in a table. */
  readonly declared?: readonly number[]
  /** Passive without `at`. */
  readonly data?: readonly { readonly at?: number; readonly bytes: readonly number[] }[]
  readonly start?: number
  /** Signatures that get type indices before all others, for block types and indirect calls. */
  readonly types?: readonly Signature[]
}

/** Unsigned LEB128. */
export function unsigned(value: number): number[] {
  return [...new ByteSink(8).unsigned(value).done()]
}

/** Signed LEB128. */
export function signed(value: number | bigint): number[] {
  const bytes: number[] = []
  for (let rest = BigInt(value); ;) {
    const low = Number(rest & 0x7fn)
    rest >>= 7n
    const last = (rest === 0n && low < 0x40) || (rest === -1n && low >= 0x40)
    bytes.push(last ? low : low | 0x80)
    if (last) return bytes
  }
}

const encoder = new TextEncoder()

function vector<T>(items: readonly T[], encode: (item: T) => readonly number[]): number[] {
  return [...unsigned(items.length), ...items.flatMap(encode)]
}

function name(text: string): number[] {
  return [...unsigned(text.length), ...encoder.encode(text)]
}

function values(types: readonly ValueType[] = []): number[] {
  return vector(types, (type) => [VALUE_TYPES[type]])
}

/** The bytes of a module; memory is exported as `memory`. Nothing is checked. */
export function assemble(module: AssembledModule): Uint8Array<ArrayBuffer> {
  const types: string[] = []
  const typeIndex = (signature: Signature): number => {
    const key = [0x60, ...values(signature.params), ...values(signature.results)].join()
    const known = types.indexOf(key)
    return known < 0 ? types.push(key) - 1 : known
  }
  for (const signature of module.types ?? []) typeIndex(signature)
  const {
    imports = [],
    functions,
    globals = [],
    memory,
    tags = [],
    table = [],
    passive = [],
    declared = [],
    data = [],
    start,
  } = module
  const importSection = vector(imports, (item) => [
    ...name(item.module),
    ...name(item.name),
    0,
    ...unsigned(typeIndex(item)),
  ])
  const functionSection = vector(functions, (item) => unsigned(typeIndex(item)))
  const exported = functions.flatMap(({ exported }, i) =>
    exported === undefined ? [] : [[...name(exported), 0, ...unsigned(imports.length + i)]],
  )
  if (memory !== undefined) exported.push([...name('memory'), 2, 0])
  const limits = ({ minPages, maxPages }: { minPages: number; maxPages?: number }): number[] =>
    maxPages === undefined ? [0, ...unsigned(minPages)] : [1, ...unsigned(minPages), ...unsigned(maxPages)]
  const code = vector(functions, ({ locals = [], code }) => {
    const body = [...vector(locals, (type) => [1, VALUE_TYPES[type]]), ...code, 0x0b]
    return [...unsigned(body.length), ...body]
  })
  const offset = (at: number): number[] => [0x41, ...signed(at), 0x0b]
  const tagSection = vector(tags, (signature) => [0, ...unsigned(typeIndex(signature))])
  const elements = [
    ...(table.length > 0 ? [[0, ...offset(0), ...vector(table, unsigned)]] : []),
    ...passive.map((list) => [1, 0, ...vector(list, unsigned)]),
    ...(declared.length > 0 ? [[3, 0, ...vector(declared, unsigned)]] : []),
  ]
  const sections: [id: number, content: number[], present: boolean][] = [
    [1, vector(types, (key) => key.split(',').map(Number)), true],
    [2, importSection, imports.length > 0],
    [3, functionSection, true],
    [4, [1, 0x70, 0, ...unsigned(table.length)], table.length > 0],
    [5, memory === undefined ? [] : [1, ...limits(memory)], memory !== undefined],
    [13, tagSection, tags.length > 0],
    [
      6,
      vector(globals, (item) => [VALUE_TYPES[item.type], item.mutable === false ? 0 : 1, ...item.initial, 0x0b]),
      globals.length > 0,
    ],
    [7, vector(exported, (item) => item), true],
    [8, unsigned(start ?? 0), start !== undefined],
    [9, vector(elements, (item) => item), elements.length > 0],
    [12, unsigned(data.length), data.some(({ at }) => at === undefined)],
    [10, code, true],
    [
      11,
      vector(data, ({ at, bytes }) => [
        ...(at === undefined ? [1] : [0, ...offset(at)]),
        ...vector(bytes, (byte) => [byte]),
      ]),
      data.length > 0,
    ],
  ]
  const out = new ByteSink(1024).raw([0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0])
  for (const [id, content, present] of sections) if (present) out.u8(id).unsigned(content.length).raw(content)
  return out.bytes.slice(0, out.length)
}
