/**
 * Which line of which script a CPython 3.11 (wasm32) is at, read out of its memory.
 *
 * Nothing says where the interpreter keeps itself, so its thread state is looked for, and everything is checked before
 * it is believed: the thread and its interpreter name each other, every frame's code is a `code`, its names are `str`s,
 * its instruction lies within it, and so on up to the outermost frame. Whatever does not fit, in another version say,
 * means that nothing is told.
 *
 * Source: CPython 3.11: Include/cpython/pystate.h (`_ts`, `_PyCFrame`), Include/internal/pycore_interp.h (`_is`),
 * Include/internal/pycore_frame.h (`_PyInterpreterFrame`), Include/cpython/code.h (`PyCodeObject`), unicodeobject.h,
 * bytesobject.h; Objects/locations.md (`co_linetable`).
 */

export interface ScriptFrame {
  /** As the interpreter was given it. */
  readonly file: string
  readonly line: number
  /** Qualified: `Table.read`; `<module>` for a script's own lines. */
  readonly function: string
}

/** Larger memories are not searched. */
const MEMORY_BYTES_MAX = 1 << 30
const FRAMES_MAX = 10_000
const TEXT_LENGTH_MAX = 4096
const CODE_BYTES_MAX = 1 << 24
/** What stands at the end of every type's chain: `type` is a `type`. */
const TYPE_NAME_BYTES_MAX = 64

const THREAD = { previous: 0, next: 4, interpreter: 8, initialized: 12, remaining: 20, limit: 24, cframe: 40 } as const
const INTERPRETER = { threads: 16 } as const
const CFRAME = { frame: 4, previous: 8 } as const
const FRAME = { function: 0, globals: 4, builtins: 8, code: 16, previous: 24, instruction: 28 } as const
const OBJECT = { type: 4, size: 8 } as const
const TYPE = { name: 12 } as const
const FUNCTION = { code: 24 } as const
const CODE = { firstLine: 48, fileName: 80, qualifiedName: 88, lines: 92, units: 116 } as const
const TEXT = { length: 8, state: 16, ascii: 24, other: 36 } as const
const BYTES = { content: 16 } as const

/** The frames of the running Python program, innermost first; empty where nothing can be told for certain. */
export function pythonFrames(memory: Uint8Array): readonly ScriptFrame[] {
  if (memory.length > MEMORY_BYTES_MAX) return []
  const python = new Python(memory)
  const thread = python.findThread()
  return thread === undefined ? [] : (python.frames(thread) ?? [])
}

class Python {
  readonly #memory: Uint8Array
  readonly #words: Uint32Array
  #typeOfTypes: number | undefined

  constructor(memory: Uint8Array) {
    this.#memory = memory
    this.#words = new Uint32Array(memory.buffer, memory.byteOffset, memory.length >>> 2)
  }

  /** The word at an address; 0, which is no pointer, outside of memory and where no word can be. */
  #word(address: number): number {
    return address > 0 && (address & 3) === 0 ? (this.#words[address >>> 2] ?? 0) : 0
  }

  /** The only thread of the only interpreter; undefined when there is none that can be told from chance. */
  findThread(): number | undefined {
    const words = this.#words
    let found: number | undefined
    for (let at = 1; at < words.length - 16; at++) {
      const interpreter = words[at + THREAD.interpreter / 4]
      if (interpreter === 0 || this.#word(interpreter + INTERPRETER.threads) !== 4 * at) continue
      if (!this.#isThread(4 * at)) continue
      // Two that look like it: one is what is left of something.
      if (found !== undefined) return undefined
      found = 4 * at
    }
    return found
  }

  #isThread(thread: number): boolean {
    const word = (offset: number): number => this.#word(thread + offset)
    if (word(THREAD.previous) !== 0 || word(THREAD.next) !== 0 || word(THREAD.initialized) !== 1) return false
    const limit = word(THREAD.limit)
    // One byte, and behind it what was there before.
    const tracing = this.#memory[word(THREAD.cframe)]
    return limit > 0 && limit < 1 << 24 && word(THREAD.remaining) <= limit && (tracing === 0 || tracing === 255)
  }

  /** Innermost first; undefined when one of them is not what it must be. */
  frames(thread: number): ScriptFrame[] | undefined {
    const cframe = this.#word(thread + THREAD.cframe)
    const frames: ScriptFrame[] = []
    for (let frame = this.#word(cframe + CFRAME.frame); frame !== 0; frame = this.#word(frame + FRAME.previous)) {
      const read = frames.length < FRAMES_MAX ? this.#frame(frame) : undefined
      if (read === undefined) return undefined
      frames.push(read)
    }
    return frames
  }

  #frame(frame: number): ScriptFrame | undefined {
    const code = this.#word(frame + FRAME.code)
    const called = this.#word(frame + FRAME.function)
    const isFrame =
      this.#isOf('code', code) &&
      this.#isOf('function', called) &&
      this.#word(called + FUNCTION.code) === code &&
      this.#isOf('dict', this.#word(frame + FRAME.globals)) &&
      this.#isOf('dict', this.#word(frame + FRAME.builtins))
    if (!isFrame) return undefined
    const units = this.#word(code + OBJECT.size)
    // Of the unit before the next instruction; one before the first when nothing has run yet.
    const offset = this.#word(frame + FRAME.instruction) - (code + CODE.units)
    if (offset % 2 !== 0 || offset < -2 || offset >= 2 * units || 2 * units > CODE_BYTES_MAX) return undefined
    const file = this.#text(this.#word(code + CODE.fileName))
    const name = this.#text(this.#word(code + CODE.qualifiedName))
    const table = this.#bytes(this.#word(code + CODE.lines))
    if (file === undefined || name === undefined || table === undefined) return undefined
    const firstLine = this.#word(code + CODE.firstLine)
    const line = offset < 0 ? firstLine : lineAt(table, firstLine, offset / 2, units)
    return line === undefined ? undefined : { file, line, function: name }
  }

  /** Whether an object is of the built-in type of this name. */
  #isOf(name: string, object: number): boolean {
    const type = this.#word(object + OBJECT.type)
    return object !== 0 && this.#word(object) > 0 && this.#typeName(type) === name
  }

  #typeName(type: number): string | undefined {
    const metatype = this.#word(type + OBJECT.type)
    if (metatype === 0) return undefined
    if (metatype !== this.#typeOfTypes) {
      const isType = this.#word(metatype + OBJECT.type) === metatype
      if (!isType || this.#cString(this.#word(metatype + TYPE.name)) !== 'type') return undefined
      this.#typeOfTypes = metatype
    }
    return this.#cString(this.#word(type + TYPE.name))
  }

  #cString(at: number): string | undefined {
    if (at === 0) return undefined
    const end = this.#memory.indexOf(0, at)
    if (end < 0 || end - at > TYPE_NAME_BYTES_MAX) return undefined
    return Buffer.from(this.#memory.buffer, this.#memory.byteOffset + at, end - at).toString('latin1')
  }

  #text(object: number): string | undefined {
    if (!this.#isOf('str', object)) return undefined
    const state = this.#word(object + TEXT.state)
    const [length, kind] = [this.#word(object + TEXT.length), (state >>> 2) & 7]
    const [isCompact, isAscii] = [((state >>> 5) & 1) === 1, ((state >>> 6) & 1) === 1]
    if (!isCompact || length > TEXT_LENGTH_MAX || (kind !== 1 && kind !== 2 && kind !== 4)) return undefined
    const at = object + (isAscii ? TEXT.ascii : TEXT.other)
    const content = Buffer.from(this.#memory.subarray(at, at + length * kind))
    if (content.length !== length * kind) return undefined
    if (kind === 1) return content.toString('latin1')
    if (kind === 2) return content.toString('utf16le')
    let text = ''
    for (let i = 0; i < length; i++) {
      const point = content.readUInt32LE(4 * i)
      if (point > 0x10_ffff) return undefined
      text += String.fromCodePoint(point)
    }
    return text
  }

  #bytes(object: number): Uint8Array | undefined {
    if (!this.#isOf('bytes', object)) return undefined
    const length = this.#word(object + OBJECT.size)
    const content = this.#memory.subarray(object + BYTES.content, object + BYTES.content + length)
    return length <= CODE_BYTES_MAX && content.length === length ? content : undefined
  }
}

/** How an entry of the table tells its line: Objects/locations.md. */
const ENTRY = { oneLine: 10, noColumns: 13, long: 14, none: 15 } as const

/**
 * The line of a code unit; undefined when it has none, or when the table is not one of so many units.
 */
export function lineAt(table: Uint8Array, firstLine: number, unit: number, units: number): number | undefined {
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let shift = 0; shift < 30; shift += 6) {
      const byte = table[at++] ?? 0
      value |= (byte & 63) << shift
      if ((byte & 64) === 0) break
    }
    return value
  }
  const signed = (): number => {
    const value = varint()
    return (value & 1) === 1 ? -(value >>> 1) : value >>> 1
  }
  let line = firstLine
  let end = 0
  let found: number | undefined
  while (at < table.length) {
    const head = table[at++]
    if ((head & 0x80) === 0) return undefined
    const code = (head >>> 3) & 15
    if (code === ENTRY.long) {
      line += signed()
      for (let i = 0; i < 3; i++) varint()
    } else if (code === ENTRY.noColumns) line += signed()
    else if (code >= ENTRY.oneLine && code !== ENTRY.none) {
      line += code - ENTRY.oneLine
      at += 2
    } else if (code !== ENTRY.none) at += 1
    const start = end
    end += (head & 7) + 1
    if (unit >= start && unit < end && code !== ENTRY.none) found = line
  }
  return end === units && at === table.length ? found : undefined
}
