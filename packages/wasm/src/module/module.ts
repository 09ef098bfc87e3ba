/**
 * Reads the sections of a module: everything but the code, whose bodies are only located.
 *
 * Source: WebAssembly Core Specification 2.0, §5.5. What semantics `wasm/1` refuses is listed in
 * spec/wasm-machine.md §3; refusals name the feature and the offset.
 */

import { WasmError } from '../error.ts'
import { Cursor, malformed } from './cursor.ts'
import { isNumeric, VALUE_TYPES, valueType, type ValueType } from './opcodes.ts'

import type {
  FunctionType,
  FunctionImport,
  GlobalDefinition,
  TagDefinition,
  TableDefinition,
  ExportDefinition,
  ByteRange,
} from './definitions.ts'

export type {
  FunctionType,
  FunctionImport,
  GlobalDefinition,
  TagDefinition,
  TableDefinition,
  ExportDefinition,
  ByteRange,
} from './definitions.ts'

export const MODULE_BYTES_MAX = 1 << 28
export const FUNCTIONS_MAX = 1 << 20
export const PARAMETERS_MAX = 1000

export interface WasmModule {
  readonly bytes: Uint8Array
  readonly types: FunctionType[]
  readonly imports: FunctionImport[]
  /** Type index of every function, imported ones first. */
  readonly functions: number[]
  readonly tags: TagDefinition[]
  readonly globals: GlobalDefinition[]
  readonly exports: ExportDefinition[]
  /** Of function references. */
  readonly tables: TableDefinition[]
  /** Element segments. */
  elements: number
  memory: { readonly minPages: number; readonly maxPages: number | undefined } | undefined
  start: number | undefined
  /** Functions that an element segment or a `ref.func` names: all that an indirect call can reach. */
  readonly addressTaken: Set<number>
  /** Functions that code may take references of: those that are named outside of the code. */
  readonly declared: Set<number>
  /** Bodies of the defined functions: the local declarations and the instructions. */
  readonly bodies: ByteRange[]
  /** Content of the sections by id, without id and size. */
  readonly sections: Map<number, ByteRange>
  /** Where function indices stand in the sections 6 (globals) and 9 (elements), in order. */
  readonly functionReferences: { readonly section: number; readonly range: ByteRange; readonly index: number }[]
  readonly nameSection: ByteRange | undefined
}

export const SECTION = {
  custom: 0,
  type: 1,
  import: 2,
  function: 3,
  table: 4,
  memory: 5,
  global: 6,
  export: 7,
  start: 8,
  element: 9,
  code: 10,
  data: 11,
  dataCount: 12,
  tag: 13,
} as const

// The data count section stands between elements and code (§5.5.2).
const ORDER = [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 12, 13, 11, 6]

/** The error for something valid that semantics `wasm/1` leaves out. */
export function unsupported(feature: string, where: string, offset: number): WasmError {
  return new WasmError('FEATURE', {
    message: `The program uses ${feature} (${where}, offset ${offset}), which the deterministic machine does not offer.`,
    hint: `Build it for wasm32-wasi preview 1 without ${feature}.`,
    data: { feature, where, offset },
  })
}

/**
 * @param bytes - The whole file.
 * @throws {@link WasmError} `NOT_WASM`, `NOT_A_COMMAND` for a component, `MALFORMED`, `LIMIT`, `FEATURE`, `IMPORT`.
 */
export function readModule(bytes: Uint8Array): WasmModule {
  checkHeader(bytes)
  const module: { -readonly [K in keyof WasmModule]: WasmModule[K] } = {
    bytes,
    types: [],
    imports: [],
    functions: [],
    tags: [],
    globals: [],
    exports: [],
    tables: [],
    elements: 0,
    memory: undefined,
    start: undefined,
    addressTaken: new Set(),
    declared: new Set(),
    bodies: [],
    sections: new Map(),
    functionReferences: [],
    nameSection: undefined,
  }
  const cursor = new Cursor(bytes, 8)
  let previous = 0
  while (cursor.at < bytes.length) {
    const id = cursor.u8()
    const start = cursor.at
    const size = cursor.u32()
    const section = new Cursor(bytes, cursor.at, cursor.at + size)
    cursor.skip(size)
    if (id === SECTION.custom) {
      if (section.name() === 'name') module.nameSection = { start: section.at, end: section.end }
      continue
    }
    if (id >= ORDER.length) throw malformed(`unknown section ${id}`, start)
    if (ORDER[id] <= previous) throw malformed(`section ${id} is repeated or out of order`, start)
    previous = ORDER[id]
    module.sections.set(id, { start: section.at, end: section.end })
    readSection(id, section, module)
    section.finish()
  }
  if (module.bodies.length !== module.functions.length - module.imports.length) {
    throw malformed('functions and bodies differ in number', bytes.length)
  }
  checkIndices(module)
  return module
}

function checkHeader(bytes: Uint8Array): void {
  if (bytes.length > MODULE_BYTES_MAX) {
    throw new WasmError('LIMIT', {
      message: `The module has ${bytes.length} bytes; the maximum is ${MODULE_BYTES_MAX}.`,
    })
  }
  const magic = [0x00, 0x61, 0x73, 0x6d]
  if (bytes.length < 8 || magic.some((byte, i) => bytes[i] !== byte)) {
    throw new WasmError('NOT_WASM', {
      message: 'The file is not a WebAssembly module: it does not begin with \\0asm.',
      hint: 'Give a .wasm file built for WASI preview 1 (target wasm32-wasip1).',
    })
  }
  if (bytes[4] === 0x0d && bytes[6] === 0x01) {
    throw new WasmError('NOT_A_COMMAND', {
      message: 'The file is a WebAssembly component (WASI preview 2), not a core module.',
      hint: 'Build it for WASI preview 1 (target wasm32-wasip1).',
    })
  }
  if (bytes[4] !== 1 || bytes[5] !== 0 || bytes[6] !== 0 || bytes[7] !== 0) throw malformed('unknown version', 4)
}

function readSection(id: number, cursor: Cursor, module: WasmModule): void {
  switch (id) {
    case SECTION.type:
      return each(cursor, () => module.types.push(readType(cursor)))
    case SECTION.import:
      return each(cursor, () => readImport(cursor, module))
    case SECTION.function:
      each(cursor, () => module.functions.push(typeIndex(cursor, module)))
      if (module.functions.length > FUNCTIONS_MAX) {
        throw new WasmError('LIMIT', { message: `More than ${FUNCTIONS_MAX} functions.` })
      }
      return
    case SECTION.table:
      return each(cursor, () => readTable(cursor, module))
    case SECTION.memory:
      return each(cursor, () => readMemory(cursor, module))
    case SECTION.global:
      return each(cursor, () => readGlobal(cursor, module))
    case SECTION.export:
      return each(cursor, () => readExport(cursor, module))
    case SECTION.start:
      module.start = cursor.u32()
      return
    case SECTION.element:
      return each(cursor, () => readElement(cursor, module))
    case SECTION.code:
      return each(cursor, () => {
        const size = cursor.u32()
        const start = cursor.at
        cursor.skip(size)
        module.bodies.push({ start, end: cursor.at })
      })
    case SECTION.tag:
      return each(cursor, () => readTag(cursor, module))
    default: // data and data count are copied as they are
      cursor.at = cursor.end
  }
}

function each(cursor: Cursor, read: () => void): void {
  for (let count = cursor.count(); count > 0; count--) read()
}

function readType(cursor: Cursor): FunctionType {
  const form = cursor.u8()
  if (form >= 0x4d && form <= 0x5f) throw unsupported('garbage collection', 'type section', cursor.at)
  if (form !== 0x60) throw malformed('a type is no function type', cursor.at)
  const params = readValueTypes(cursor)
  const results = readValueTypes(cursor)
  return { params, results, key: `${params.join()}>${results.join()}` }
}

function readValueTypes(cursor: Cursor): ValueType[] {
  const types: ValueType[] = []
  each(cursor, () => types.push(readValueType(cursor, () => 'type section')))
  if (types.length > PARAMETERS_MAX) {
    throw new WasmError('LIMIT', { message: `A function type has more than ${PARAMETERS_MAX} values.` })
  }
  return types
}

export function readValueType(cursor: Cursor, where: () => string): ValueType {
  const code = cursor.u8()
  const type = valueType(code)
  if (type !== undefined) return type
  const feature = referenceFeature(code)
  if (feature !== undefined) throw unsupported(feature, where(), cursor.at - 1)
  throw malformed('unknown value type', cursor.at - 1)
}

/** Names what a reference type that `wasm/1` leaves out belongs to; `undefined` for a code that is none. */
export function referenceFeature(code: number): string | undefined {
  if (code === VALUE_TYPES.exnref) return 'references to exceptions'
  if (code === 0x6f) return 'external references'
  if (code === 0x63 || code === 0x64) return 'typed function references'
  return code >= 0x5f && code <= 0x76 ? 'garbage collection' : undefined
}

function typeIndex(cursor: Cursor, module: WasmModule): number {
  const index = cursor.u32()
  if (index >= module.types.length) throw malformed(`unknown type ${index}`, cursor.at)
  return index
}

function readImport(cursor: Cursor, module: WasmModule): void {
  const from = cursor.name()
  const name = cursor.name()
  const kind = cursor.u8()
  if (kind !== 0) {
    const what = ['function', 'table', 'memory', 'global', 'tag'][kind]
    if (what === undefined) throw malformed('unknown kind of import', cursor.at)
    throw new WasmError('IMPORT', {
      message: `The module imports the ${what} ${from}.${name}; the machine gives functions only.`,
      hint: 'Link it as a WASI command that defines its own memory and tables (without --import-memory, --import-table).',
      data: { module: from, name },
    })
  }
  const type = typeIndex(cursor, module)
  module.imports.push({ module: from, name, type })
  module.functions.push(type)
}

function readLimits(cursor: Cursor, what: string): { min: number; max: number | undefined } {
  const flags = cursor.u8()
  if (flags === 2 || flags === 3) throw unsupported('shared memory', what, cursor.at)
  if (flags >= 4 && flags <= 7) throw unsupported('memory64', what, cursor.at)
  if (flags > 7) throw malformed(`unknown limits of the ${what}`, cursor.at)
  const min = cursor.u32()
  return { min, max: flags === 1 ? cursor.u32() : undefined }
}

function readTable(cursor: Cursor, module: WasmModule): void {
  const type = cursor.u8()
  if (type !== 0x70) throw unsupported(referenceFeature(type) ?? 'unknown tables', 'table section', cursor.at)
  const { min, max } = readLimits(cursor, 'table')
  module.tables.push({ minEntries: min, maxEntries: max })
}

function readTag(cursor: Cursor, module: WasmModule): void {
  if (cursor.u8() !== 0) throw malformed('unknown attribute of a tag', cursor.at - 1)
  const index = typeIndex(cursor, module)
  const { params, results } = module.types[index]
  if (results.length > 0) throw malformed('a tag has results', cursor.at)
  if (!params.every(isNumeric)) throw unsupported('references in exceptions', 'tag section', cursor.at)
  module.tags.push({ type: index, params })
}

function readMemory(cursor: Cursor, module: WasmModule): void {
  if (module.memory !== undefined) throw unsupported('several memories', 'memory section', cursor.at)
  const { min, max } = readLimits(cursor, 'memory')
  module.memory = { minPages: min, maxPages: max }
}

function readGlobal(cursor: Cursor, module: WasmModule): void {
  const type = readValueType(cursor, () => 'global section')
  const flag = cursor.u8()
  if (flag > 1) throw malformed('unknown mutability of a global', cursor.at)
  const mutable = flag === 1
  if (isNumeric(type)) module.globals.push({ type, mutable })
  else if (type === 'funcref' && !mutable) module.globals.push({ type, mutable })
  else throw unsupported('references in globals', 'global section', cursor.at)
  readConstant(cursor, module, SECTION.global)
}

/** A constant expression (§3.3.10), with the extended constants that add and multiply integers. */
function readConstant(cursor: Cursor, module: WasmModule, section: number): void {
  for (;;) {
    const op = cursor.u8()
    if (op === 0x0b) return
    if (op === 0x41) cursor.skipSigned(32)
    else if (op === 0x42) cursor.skipSigned(64)
    else if (op === 0x43) cursor.skip(4)
    else if (op === 0x44) cursor.skip(8)
    else if (op === 0x23) cursor.u32()
    else if (op === 0xd0) cursor.u8()
    else if (op === 0xd2) readFunctionReference(cursor, module, section)
    else if (op === 0xfd) {
      if (cursor.u32() !== 12) throw malformed('a constant is no constant', cursor.at)
      cursor.skip(16)
    } else if (!((op >= 0x6a && op <= 0x6c) || (op >= 0x7c && op <= 0x7e))) {
      throw malformed('a constant is no constant', cursor.at)
    }
  }
}

/** The heap type of a null reference: its binary code. */
export function readReferenceType(cursor: Cursor, where: () => string): number {
  const code = cursor.u8()
  if (code === 0x70 || code === 0x69) return code
  throw unsupported(referenceFeature(code) ?? 'typed function references', where(), cursor.at - 1)
}

function readFunctionReference(cursor: Cursor, module: WasmModule, section: number): void {
  const start = cursor.at
  const index = cursor.u32()
  module.addressTaken.add(index)
  module.declared.add(index)
  module.functionReferences.push({ section, range: { start, end: cursor.at }, index })
}

function readExport(cursor: Cursor, module: WasmModule): void {
  const name = cursor.name()
  const kind = cursor.u8()
  if (kind > 4) throw malformed('unknown kind of export', cursor.at)
  if (name.startsWith('reprise:')) {
    throw new WasmError('RESERVED_NAME', {
      message: `The module exports "${name}"; names that begin with "reprise:" belong to the machine.`,
      hint: 'Give the original module, not one that was rewritten already.',
    })
  }
  const index = cursor.u32()
  if (kind === 0) module.declared.add(index)
  module.exports.push({ name, kind, index })
}

/** All eight forms of an element segment (§5.5.12). */
function readElement(cursor: Cursor, module: WasmModule): void {
  module.elements++
  const flags = cursor.u32()
  if (flags > 7) throw malformed('unknown form of an element segment', cursor.at)
  const passive = (flags & 1) !== 0
  if (!passive) {
    if ((flags & 2) !== 0) cursor.u32()
    readConstant(cursor, module, SECTION.element)
  }
  const expressions = (flags & 4) !== 0
  if ((flags & 3) !== 0) {
    const kind = cursor.u8()
    if (kind !== (expressions ? 0x70 : 0)) {
      throw unsupported(referenceFeature(kind) ?? 'unknown elements', 'element section', cursor.at)
    }
  }
  each(cursor, () =>
    expressions
      ? readConstant(cursor, module, SECTION.element)
      : readFunctionReference(cursor, module, SECTION.element),
  )
}

function checkIndices(module: WasmModule): void {
  const known = module.functions.length
  for (const { range, index } of module.functionReferences) {
    if (index >= known) throw malformed(`unknown function ${index}`, range.start)
  }
  if (module.start !== undefined && module.start >= known) throw malformed(`unknown function ${module.start}`, 0)
  for (const { name, kind, index } of module.exports) {
    const size = [known, undefined, undefined, module.globals.length, module.tags.length][kind]
    if (size !== undefined && index >= size) throw malformed(`export "${name}" of something that does not exist`, 0)
    if (kind === 2 && (index !== 0 || module.memory === undefined)) {
      throw malformed(`export "${name}" of something that does not exist`, 0)
    }
  }
}
