/** The activations of a captured guest as plain data, and their bytes. Format: spec/wasm-machine.md, "Frames". */

import { ByteReader, ByteWriter, TruncatedError } from '@reprise/core'
import { WasmError } from '../error.ts'
import type { NumericType } from '../module/opcodes.ts'

/** More activations than the largest stack limit has room for. */
export const FRAMES_MAX = 1 << 22
/** Locals and operands of one activation. */
export const FRAME_VALUES_MAX = 1 << 17

export interface NumericValue {
  readonly type: NumericType
  /** The exact bits, as an unsigned integer of the type's width. */
  readonly bits: bigint
}

/** Whatever cannot be told from the exception by WebAssembly. */
export interface FrameException {
  /** Index in the original module. */
  readonly tag: number
  readonly values: readonly NumericValue[]
}

/** References that are `undefined` are null. */
export type FrameValue =
  | NumericValue
  | { readonly type: 'funcref'; /** Index in the original module. */ readonly function: number | undefined }
  | { readonly type: 'exnref'; readonly exception: FrameException | undefined }

/** One activation, left at a site. */
export interface Frame {
  /** Index in the original module. */
  readonly function: number
  readonly site: number
  /**
   * The live locals in the order of their indices, the operands from the bottom of the stack, then the exceptions that
   * were caught around the site and can be thrown again.
   */
  readonly values: readonly FrameValue[]
}

export interface Activations {
  /** Whether the module's start function is running or `_start`. */
  readonly phase: 'start' | 'command'
  /** Outermost first; the last was left at a poll, the others at calls. */
  readonly frames: readonly Frame[]
}

/** What one exception carries. */
export const EXCEPTION_VALUES_MAX = 1000

const PHASES = ['start', 'command'] as const
const TYPES: readonly NumericType[] = ['i32', 'i64', 'f32', 'f64', 'v128']
const FUNCTION_KIND = 6
const EXCEPTION_KIND = 7
const NULL_REFERENCE = 0xffff_ffff
const WORD = 0xffff_ffff_ffff_ffffn

export function encodeFrames({ phase, frames }: Activations): Uint8Array {
  const writer = new ByteWriter().u8(PHASES.indexOf(phase)).u32(frames.length)
  for (const { function: index, site, values } of frames) {
    writer.u32(index).u32(site).u32(values.length)
    for (const value of values) writeValue(writer, value)
  }
  return writer.done()
}

function writeValue(writer: ByteWriter, value: FrameValue): void {
  if (value.type === 'funcref') writer.u8(FUNCTION_KIND).u32(value.function ?? NULL_REFERENCE)
  else if (value.type === 'exnref') {
    const { tag, values } = value.exception ?? { tag: NULL_REFERENCE, values: [] }
    writer.u8(EXCEPTION_KIND).u32(tag).u32(values.length)
    for (const each of values) writeValue(writer, each)
  } else {
    const { type, bits } = value
    writer.u8(1 + TYPES.indexOf(type))
    if (type === 'i32' || type === 'f32') writer.u32(Number(bits))
    else {
      if (type === 'v128') writer.u64(bits >> 64n)
      writer.u64(bits & WORD)
    }
  }
}

/** @throws {@link WasmError} `SNAPSHOT` for anything but the bytes that {@link encodeFrames} gives. */
export function decodeFrames(bytes: Uint8Array): Activations {
  const reader = new ByteReader(bytes)
  try {
    const phase = PHASES[reader.u8()]
    if (phase === undefined) throw damaged('an unknown phase')
    const frames = list(reader, FRAMES_MAX, () => ({
      function: reader.u32(),
      site: reader.u32(),
      values: list(reader, FRAME_VALUES_MAX, () => readValue(reader)),
    }))
    reader.end()
    return { phase, frames }
  } catch (error) {
    if (error instanceof TruncatedError) throw damaged('they are cut off or too long')
    throw error
  }
}

function list<T>(reader: ByteReader, most: number, read: () => T): T[] {
  const count = reader.u32()
  if (count > most || count > reader.remainingBytes) throw damaged(`a list of ${count}`)
  return Array.from({ length: count }, read)
}

function readValue(reader: ByteReader): FrameValue {
  const kind = reader.u8()
  if (kind === FUNCTION_KIND) {
    const index = reader.u32()
    return { type: 'funcref', function: index === NULL_REFERENCE ? undefined : index }
  }
  if (kind !== EXCEPTION_KIND) return readNumber(reader, kind)
  const tag = reader.u32()
  const values = list(reader, EXCEPTION_VALUES_MAX, () => readNumber(reader, reader.u8()))
  if (tag !== NULL_REFERENCE) return { type: 'exnref', exception: { tag, values } }
  if (values.length > 0) throw damaged('no exception, but values')
  return { type: 'exnref', exception: undefined }
}

function readNumber(reader: ByteReader, kind: number): NumericValue {
  const type = TYPES[kind - 1]
  if (type === undefined) throw damaged('an unknown type')
  if (type === 'i32' || type === 'f32') return { type, bits: BigInt(reader.u32()) }
  const high = type === 'v128' ? reader.u64() : 0n
  return { type, bits: (high << 64n) | reader.u64() }
}

function damaged(what: string): WasmError {
  return new WasmError('SNAPSHOT', { message: `The frames of the snapshot cannot be read: ${what}.` })
}
