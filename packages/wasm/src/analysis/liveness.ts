/**
 * Which locals are still read before they are set again, at chosen instructions: only those need to be kept when a
 * function is left there and continued later.
 *
 * Backward over the structured code, whole passes until no loop header changes; two or three in practice. Sets are bits
 * in flat arrays, because interpreters have thousands of branches and hundreds of locals.
 */

import type { Body } from '../module/body.ts'
import { clausesOf } from '../module/clauses.ts'
import { OP } from '../module/opcodes.ts'

export class Liveness {
  /** Words per set. */
  words = 0
  /** Set after set. */
  #found = new Int32Array(64)
  #live = new Int32Array(4)
  /** By loop: what is live at its header. */
  #headers = new Int32Array(64)
  /** By nesting level: what is live behind the construct. */
  #behind = new Int32Array(64)
  /** By nesting level: what is live where the `else` arm begins. */
  #elses = new Int32Array(64)
  #openers = new Int32Array(64)
  /** By nesting level: what is live where an exception of its `try` or `try_table` is caught. */
  #handlers = new Int32Array(64)
  /** Levels whose handlers an exception can reach from here. */
  readonly #guarded: number[] = []
  #changed = false

  /**
   * @param wanted - By instruction: the number of its set, or 0. For a call the set is what is live behind it, for a
   * loop what is live at its header. Set 0 is what is live at the entry.
   * @param sets - How many there are, with set 0.
   */
  follow(body: Body, wanted: Int32Array, sets: number): void {
    this.words = (body.locals + 31) >>> 5
    const { words } = this
    if (this.#live.length < words) this.#live = new Int32Array(2 * words)
    this.#found = cleared(this.#found, sets * words)
    this.#headers = cleared(this.#headers, body.loops * words)
    do {
      this.#changed = false
      this.#pass(body, wanted)
    } while (this.#changed)
    this.#found.set(this.#live.subarray(0, words), 0)
  }

  isLive(set: number, local: number): boolean {
    return ((this.#found[set * this.words + (local >>> 5)] >>> (local & 31)) & 1) === 1
  }

  /** The 32 locals from `32 × word` on, as bits. */
  word(set: number, word: number): number {
    return this.#found[set * this.words + word]
  }

  #pass(body: Body, wanted: Int32Array): void {
    const { opcode, immediate, mate, loopOf } = body
    const { words } = this
    const live = this.#live
    live.fill(0, 0, words)
    this.#guarded.length = 0
    let depth = 0
    for (let n = body.count - 1; n >= 0; n--) {
      const op = opcode[n]
      switch (op) {
        case OP.localGet:
          live[immediate[n] >>> 5] |= 1 << (immediate[n] & 31)
          break
        case OP.localSet:
        case OP.localTee:
          live[immediate[n] >>> 5] &= ~(1 << (immediate[n] & 31))
          break
        case OP.call:
        case OP.callIndirect:
          this.#joinHandlers()
          if (wanted[n] > 0) this.#record(wanted[n])
          break
        case OP.end:
        case OP.delegate:
          this.#open(depth, body.openerOf[n])
          copy(this.#behind, depth * words, live, 0, words)
          this.#openHandlers(body, mate[n], depth++)
          break
        case OP.else:
          copy(this.#elses, (depth - 1) * words, live, 0, words)
          copy(live, 0, this.#behind, (depth - 1) * words, words)
          break
        case OP.if:
          depth--
          join(live, 0, opcode[mate[n]] === OP.else ? this.#elses : this.#behind, depth * words, words)
          break
        case OP.block:
          depth--
          break
        case OP.loop:
          depth--
          if (join(this.#headers, loopOf[n] * words, live, 0, words)) this.#changed = true
          if (wanted[n] > 0) this.#record(wanted[n])
          break
        case OP.br:
          live.fill(0, 0, words)
          this.#joinLabel(body, depth - 1 - immediate[n])
          break
        case OP.brIf:
          this.#joinLabel(body, depth - 1 - immediate[n])
          break
        case OP.brTable:
          live.fill(0, 0, words)
          this.#joinTable(body, n, depth)
          break
        case OP.return:
        case OP.returnCall:
        case OP.returnCallIndirect:
        case OP.unreachable:
          live.fill(0, 0, words)
          break
        default:
          if (op >= OP.try && op <= OP.tryTable) depth = this.#passException(body, n, depth)
      }
    }
  }

  /** Instructions that throw or handle exceptions; returns the nesting before them. */
  #passException(body: Body, n: number, depth: number): number {
    const { words } = this
    const live = this.#live
    switch (body.opcode[n]) {
      case OP.catch:
      case OP.catchAll:
        join(this.#handlers, (depth - 1) * words, live, 0, words)
        copy(live, 0, this.#behind, (depth - 1) * words, words)
        if (body.mate[body.openerOf[n]] === n) this.#guarded.push(depth - 1)
        return depth
      case OP.try:
      case OP.tryTable:
        if (this.#guarded.at(-1) === depth - 1) this.#guarded.pop()
        return depth - 1
      case OP.throw:
      case OP.rethrow:
      case OP.throwRef:
        live.fill(0, 0, words)
        this.#joinHandlers()
        return depth
      default:
        return depth
    }
  }

  #record(set: number): void {
    copy(this.#found, set * this.words, this.#live, 0, this.words)
  }

  #open(depth: number, opener: number): void {
    if (depth >= this.#openers.length) this.#openers = grown(this.#openers, 2 * depth)
    this.#openers[depth] = opener
    const size = (depth + 1) * this.words
    if (size <= this.#behind.length) return
    this.#behind = grown(this.#behind, 2 * size)
    this.#elses = grown(this.#elses, 2 * size)
    this.#handlers = grown(this.#handlers, 2 * size)
  }

  /** At the end of a construct, whose part that begins at `part` comes next. */
  #openHandlers(body: Body, part: number, depth: number): void {
    if (part < 0) return
    const { words } = this
    const op = body.opcode[part]
    if (op === OP.tryTable) {
      const before = this.#live.slice(0, words)
      this.#live.fill(0, 0, words)
      for (const { label } of clausesOf(body, part)) this.#joinLabel(body, depth - 1 - label)
      copy(this.#handlers, depth * words, this.#live, 0, words)
      copy(this.#live, 0, before, 0, words)
      this.#guarded.push(depth)
    } else if (op === OP.catch || op === OP.catchAll) {
      this.#handlers.fill(0, depth * words, (depth + 1) * words)
    }
  }

  /** An exception goes to any handler around. */
  #joinHandlers(): void {
    for (const level of this.#guarded) join(this.#live, 0, this.#handlers, level * this.words, this.words)
  }

  #joinLabel(body: Body, level: number): void {
    const opener = this.#openers[level]
    if (opener >= 0 && body.opcode[opener] === OP.loop) {
      join(this.#live, 0, this.#headers, body.loopOf[opener] * this.words, this.words)
    } else {
      join(this.#live, 0, this.#behind, level * this.words, this.words)
    }
  }

  #joinTable(body: Body, n: number, depth: number): void {
    forEachLabel(body, n, (label) => this.#joinLabel(body, depth - 1 - label))
  }
}

/** The labels of a br_table, the default last. */
export function forEachLabel(body: Body, n: number, visit: (label: number) => void): void {
  const { bytes } = body
  let at = body.at[n] + 1
  const next = (): number => {
    let value = 0
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++]
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return value >>> 0
    }
  }
  for (let count = next(); count >= 0; count--) visit(next())
}

function copy(to: Int32Array, toAt: number, from: Int32Array, fromAt: number, words: number): void {
  for (let i = 0; i < words; i++) to[toAt + i] = from[fromAt + i]
}

/** True when `to` grew. */
function join(to: Int32Array, toAt: number, from: Int32Array, fromAt: number, words: number): boolean {
  let grew = 0
  for (let i = 0; i < words; i++) {
    grew |= from[fromAt + i] & ~to[toAt + i]
    to[toAt + i] |= from[fromAt + i]
  }
  return grew !== 0
}

function cleared(array: Int32Array<ArrayBuffer>, length: number): Int32Array<ArrayBuffer> {
  if (array.length < length) return new Int32Array(2 * length)
  array.fill(0, 0, length)
  return array
}

function grown(array: Int32Array<ArrayBuffer>, length: number): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(length)
  larger.set(array)
  return larger
}
