/**
 * Where V8 has put a WebAssembly memory: JavaScript is not told, but the kernel lists this process's mappings and
 * lets it read its own bytes by address.
 */
import { randomBytes } from 'node:crypto'
import { closeSync, openSync, readFileSync, readSync } from 'node:fs'

const MARK_BYTES = 16

/**
 * The address of a memory that stands still: the only one at which random marks show that are put for a moment at
 * its two ends. Its bytes are as before when this returns or throws.
 *
 * @param memory - At least a page, whole pages.
 * @param hint - Where it probably is.
 * @throws Error when it is not found at exactly one address.
 */
export function locate(memory: Uint8Array, hint?: number): number {
  const [start, end] = [memory.subarray(0, MARK_BYTES), memory.subarray(-MARK_BYTES)]
  const saved = [start.slice(), end.slice()]
  const marks = [randomBytes(MARK_BYTES), randomBytes(MARK_BYTES)]
  const own = openSync('/proc/self/mem', 'r')
  try {
    start.set(marks[0])
    end.set(marks[1])
    const isAt = (address: number): boolean =>
      holds(own, address, marks[0]) && holds(own, address + memory.length - MARK_BYTES, marks[1])
    if (hint !== undefined && isAt(hint)) return hint
    const found = candidates(memory.length).filter(isAt)
    if (found.length !== 1) throw new Error(`the guest's memory was found at ${found.length} addresses`)
    return found[0]
  } finally {
    start.set(saved[0])
    end.set(saved[1])
    closeSync(own)
  }
}

function holds(own: number, address: number, mark: Uint8Array): boolean {
  const bytes = Buffer.alloc(MARK_BYTES)
  try {
    return readSync(own, bytes, 0, MARK_BYTES, address) === MARK_BYTES && bytes.equals(mark)
  } catch {
    return false
  }
}

/**
 * Where a memory of this length can begin: at the start of a writable anonymous mapping, or so that it ends with one,
 * because what lies before it may be in the same mapping, and what V8 keeps reserved behind it is not writable.
 */
function candidates(lengthBytes: number): number[] {
  const found = new Set<number>()
  let [start, end] = [0, 0]
  const add = (): void => {
    if (end - start >= lengthBytes) found.add(end - lengthBytes)
  }
  for (const line of readFileSync('/proc/self/maps', 'latin1').split('\n')) {
    const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) rw.p 0+ 00:00 0\s*$/.exec(line) ?? []
    if (from === undefined || to === undefined) continue
    const next = Number.parseInt(from, 16)
    if (next !== end) {
      add()
      start = next
    }
    end = Number.parseInt(to, 16)
    found.add(next)
  }
  add()
  return [...found]
}
