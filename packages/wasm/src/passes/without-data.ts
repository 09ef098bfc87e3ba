/**
 * A module without its data. A guest that is restored gets all of its memory from elsewhere: what instantiation would write
 * there is read, checked and copied for nothing, and of a language runtime it is half of the module.
 *
 * Source: Core Specification 2.0, §5.5.14 (data section), §4.5.4 (an active segment is dropped when it has been written).
 */
import { Cursor, malformed } from '../module/cursor.ts'
import { SECTION } from '../module/module.ts'
import { sectionPlaces } from '../module/section-places.ts'
import { ByteSink } from '../module/sink.ts'

/** Where the data section of a module begins, which then goes to its end, and what may stand there instead. */
export interface ModuleData {
  /** In bytes from the beginning of the module. */
  readonly at: number
  /** A section with as many segments. Passive ones are as they were; active ones have no bytes, as when they have been written. */
  readonly emptied: Uint8Array
}

/**
 * @param module - A valid one, as it was rewritten: nothing stands behind its data.
 * @returns Undefined for one without data.
 */
export function dataOf(module: Uint8Array): ModuleData | undefined {
  const places = sectionPlaces(module)
  const place = places.find(({ id }) => id === SECTION.data)
  if (place === undefined) return undefined
  // Whoever took it for one without data would restore a memory that is not zero.
  if (place !== places.at(-1)) throw new Error('broken invariant: the data of a rewritten module come last')
  const cursor = new Cursor(module, place.start, place.end)
  const count = cursor.count()
  const content = new ByteSink(16).unsigned(count)
  for (let i = 0; i < count; i++) {
    const start = cursor.at
    const flags = cursor.u32()
    if (flags !== PASSIVE) skipPlace(cursor, flags)
    cursor.skip(cursor.u32())
    if (flags === PASSIVE) content.copy(module, start, cursor.at)
    else content.raw(EMPTY)
  }
  const section = new ByteSink(content.length + 8).u8(SECTION.data).vector(content.done()).done()
  return { at: place.at, emptied: section }
}

const PASSIVE = 1
/** An active segment of the first memory, at `i32.const 0`, without bytes. */
const EMPTY = [0x00, 0x41, 0x00, 0x0b, 0x00]

/** Memory index and offset, which is a constant expression of type i32. */
function skipPlace(cursor: Cursor, flags: number): void {
  if (flags === 2) cursor.u32()
  for (;;) {
    const opcode = cursor.u8()
    if (opcode === 0x0b) return
    if (opcode === 0x41) cursor.skipSigned(32)
    else if (opcode === 0x23) cursor.u32()
    else if (opcode < 0x6a || opcode > 0x6c) throw malformed('an offset is no constant of i32', cursor.at)
  }
}
