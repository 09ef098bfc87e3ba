/**
 * Source lines out of `.debug_line`, versions 2 to 5, 32-bit. Addresses in WebAssembly's DWARF are offsets in the content
 * of the code section.
 *
 * Source: DWARF 5, §6.2; DWARF for WebAssembly (https://yurydelendik.github.io/webassembly-dwarf/). What a module says of
 * itself proves nothing, and what cannot be read is left out: it breaks no program.
 */
import { Cursor } from '../module/cursor.ts'
import { SECTION } from '../module/module.ts'

export interface Source {
  /** As the compiler was given it. */
  readonly file: string
  readonly line: number
}

/** The source of each address, where the module has it. */
export function findSources(module: Uint8Array, addresses: readonly number[]): (Source | undefined)[] {
  const found = addresses.map((): Source | undefined => undefined)
  try {
    const sections = debugSections(module)
    const lines = sections.get('.debug_line')
    if (lines === undefined) return found
    const strings = { 0x0e: sections.get('.debug_str'), 0x1f: sections.get('.debug_line_str') }
    while (lines.at < lines.end) {
      const lengthBytes = u(lines, 4)
      const unit = new Cursor(module, lines.at, lines.at + lengthBytes)
      lines.skip(lengthBytes)
      readUnit(unit, { addresses, found, strings })
    }
  } catch {
    // What was found until here holds.
  }
  return found
}

function debugSections(module: Uint8Array): Map<string, Cursor> {
  const sections = new Map<string, Cursor>()
  const cursor = new Cursor(module, 8)
  while (cursor.at < module.length) {
    const id = cursor.u8()
    const size = cursor.u32()
    const content = new Cursor(module, cursor.at, cursor.at + size)
    cursor.skip(size)
    if (id === SECTION.custom) sections.set(content.name(), content)
  }
  return sections
}

type Strings = Readonly<Record<number, Cursor | undefined>>

interface Search {
  readonly addresses: readonly number[]
  readonly found: (Source | undefined)[]
  readonly strings: Strings
}

/** What the line program of a unit is run with. */
interface Header {
  readonly lineBase: number
  readonly lineRange: number
  readonly opcodeBase: number
  readonly opcodeLengths: readonly number[]
  readonly minimumLength: number
  readonly file: (index: number) => string
}

function readUnit(unit: Cursor, search: Search): void {
  const version = u(unit, 2)
  if (version < 2 || version > 5) return
  if (version === 5) unit.skip(2)
  const headerBytes = u(unit, 4)
  const program = new Cursor(unit.bytes, unit.at + headerBytes, unit.end)
  const minimumLength = unit.u8()
  if (version >= 4) unit.skip(1)
  unit.skip(1)
  const lineBase = (unit.u8() << 24) >> 24
  const lineRange = unit.u8()
  const opcodeBase = unit.u8()
  const opcodeLengths = Array.from({ length: opcodeBase - 1 }, () => unit.u8())
  const file = version === 5 ? filesOf5(unit, search.strings) : filesOf2(unit)
  if (lineRange > 0)
    runProgram(program, { lineBase, lineRange, opcodeBase, opcodeLengths, minimumLength, file }, search)
}

/** Versions 2 to 4: counted from 1, directory 0 is the one that was compiled in. */
function filesOf2(unit: Cursor): Header['file'] {
  const directories = ['']
  for (let name = text(unit); name !== ''; name = text(unit)) directories.push(name)
  const files = ['']
  for (let name = text(unit); name !== ''; name = text(unit)) {
    files.push(joined(directories[unit.u32()], name))
    unit.u32()
    unit.u32()
  }
  return (index) => files[index] ?? ''
}

function filesOf5(unit: Cursor, strings: Strings): Header['file'] {
  const directories = entriesOf5(unit, strings).map(({ path }) => path)
  const files = entriesOf5(unit, strings).map(({ path, directory }) =>
    // Directory 0 is the one that was compiled in: without it names are as the compiler was given them.
    joined(directory === 0 ? '' : directories[directory], path),
  )
  return (index) => files[index] ?? ''
}

const PATH = 1
const DIRECTORY = 2

function entriesOf5(unit: Cursor, strings: Strings): { readonly path: string; readonly directory: number }[] {
  const formats = Array.from({ length: unit.u8() }, () => ({ content: unit.u32(), form: unit.u32() }))
  return Array.from({ length: unit.count() }, () => {
    const entry = { path: '', directory: 0 }
    for (const { content, form } of formats) {
      const value = readForm(unit, form, strings)
      if (content === PATH && typeof value === 'string') entry.path = value
      else if (content === DIRECTORY && typeof value === 'number') entry.directory = value
    }
    return entry
  })
}

function readForm(unit: Cursor, form: number, strings: Strings): string | number | undefined {
  switch (form) {
    case 0x08: // string
      return text(unit)
    case 0x0e: // strp
    case 0x1f: {
      // line_strp
      const at = u(unit, 4)
      const section = strings[form]
      return section === undefined ? '' : text(new Cursor(section.bytes, section.at + at, section.end))
    }
    case 0x0b: // data1
      return unit.u8()
    case 0x05: // data2
      return u(unit, 2)
    case 0x06: // data4
      return u(unit, 4)
    case 0x0f: // udata
      return unit.u32()
    case 0x07: // data8
      unit.skip(8)
      return undefined
    case 0x1e: // data16
      unit.skip(16)
      return undefined
    case 0x09: // block
      unit.skip(unit.u32())
      return undefined
    default:
      throw new RangeError(`form ${form}`)
  }
}

interface Row {
  address: number
  file: number
  line: number
}

const STANDARD = { copy: 1, advancePc: 2, advanceLine: 3, setFile: 4, constAddPc: 8, fixedAdvancePc: 9 } as const
const EXTENDED = { endSequence: 1, setAddress: 2 } as const

function runProgram(program: Cursor, header: Header, search: Search): void {
  const { lineBase, lineRange, opcodeBase, opcodeLengths, minimumLength } = header
  let row: Row = { address: 0, file: 1, line: 1 }
  let previous: Row | undefined
  let first: number | undefined
  const emit = (): void => {
    first ??= row.address
    // The linker leaves what it dropped at address 0, where no function is.
    if (previous !== undefined && first !== 0) settle(previous, row.address, header, search)
    previous = { ...row }
  }
  while (program.at < program.end) {
    const opcode = program.u8()
    if (opcode >= opcodeBase) {
      const adjusted = opcode - opcodeBase
      row.address += Math.floor(adjusted / lineRange) * minimumLength
      row.line += lineBase + (adjusted % lineRange)
      emit()
    } else if (opcode === 0) {
      const next = program.u32()
      const end = program.at + next
      const extended = program.u8()
      if (extended === EXTENDED.endSequence) {
        emit()
        row = { address: 0, file: 1, line: 1 }
        previous = first = undefined
      } else if (extended === EXTENDED.setAddress) row.address = u(program, 4)
      program.at = end
    } else if (opcode === STANDARD.copy) emit()
    else if (opcode === STANDARD.advancePc) row.address += program.u32() * minimumLength
    else if (opcode === STANDARD.advanceLine) row.line += signed(program)
    else if (opcode === STANDARD.setFile) row.file = program.u32()
    else if (opcode === STANDARD.constAddPc) row.address += Math.floor((255 - opcodeBase) / lineRange) * minimumLength
    else if (opcode === STANDARD.fixedAdvancePc) row.address += u(program, 2)
    else for (let i = 0; i < opcodeLengths[opcode - 1]; i++) program.skipSigned(64)
  }
}

/** Row `from` holds up to `end`. Line 0 means that no line is to blame. */
function settle(from: Row, end: number, { file }: Header, { addresses, found }: Search): void {
  for (let i = 0; i < addresses.length; i++) {
    if (addresses[i] < from.address || addresses[i] >= end || from.line <= 0) continue
    found[i] ??= { file: file(from.file), line: from.line }
  }
}

function joined(directory: string | undefined, name: string): string {
  if (directory === undefined || directory === '' || name.startsWith('/')) return name
  return directory.endsWith('/') ? directory + name : `${directory}/${name}`
}

/** Little-endian. */
function u(cursor: Cursor, lengthBytes: 2 | 4): number {
  let value = 0
  for (let i = 0; i < lengthBytes; i++) value += cursor.u8() * 2 ** (8 * i)
  return value
}

function signed(cursor: Cursor): number {
  let value = 0
  for (let shift = 0; shift < 35; shift += 7) {
    const byte = cursor.u8()
    value |= (byte & 0x7f) << shift
    if (byte < 0x80) return shift < 28 && (byte & 0x40) !== 0 ? value | (-1 << (shift + 7)) : value
  }
  throw new RangeError('a line is no 32-bit number')
}

/** Up to a zero byte. */
function text(cursor: Cursor): string {
  const start = cursor.at
  while (cursor.u8() !== 0);
  return new TextDecoder().decode(cursor.bytes.subarray(start, cursor.at - 1))
}
