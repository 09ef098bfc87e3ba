/**
 * The way from the beginning of a function to one of its sites, which a continuation is written along.
 *
 * Of every construct around the site only the rest is left to run; a loop's rest stands before the loop itself. That gives
 * one more label per loop, so branches out of it have to reach further (docs/decisions/0005-continuations.md).
 */

import { forEachLabel } from '../analysis/liveness.ts'
import { SITE, type Sites } from '../analysis/sites.ts'
import type { Body } from '../module/body.ts'
import { OP } from '../module/opcodes.ts'
import type { ByteSink } from '../module/sink.ts'

/** A construct around a site. */
export interface Level {
  /** The block, loop or `if`. */
  readonly opener: number
  readonly isLoop: boolean
  /** The `else` or `end` that ends the part with the site. */
  readonly close: number
  readonly end: number
}

export class Path {
  /** Outermost first. */
  readonly levels: readonly Level[]
  /** How many of the constructs around it are being written; what they hold runs once, before the loops. */
  depth = 0
  /** By level: loops among the constructs up to it. */
  readonly #loops: readonly number[]
  readonly #body: Body

  constructor(body: Body, sites: Sites, site: number) {
    this.#body = body
    this.levels = levelsAround(body, sites, site)
    const loops = [0]
    for (const { isLoop } of this.levels) loops.push(loops[loops.length - 1] + (isLoop ? 1 : 0))
    this.#loops = loops
  }

  /** What a branch's depth grows by, if its target is the construct at this nesting level (0: the function). */
  shift(level: number): number {
    return level >= this.depth ? 0 : this.#loops[this.depth] - this.#loops[level]
  }

  /** A branch of the guest that stands `nesting` constructs deep. */
  writeBranch(sink: ByteSink, n: number, nesting: number): void {
    const { opcode, immediate } = this.#body
    const moved = (label: number): number => label + this.shift(nesting - label)
    sink.u8(opcode[n])
    if (opcode[n] === OP.brTable) {
      sink.unsigned(immediate[n])
      forEachLabel(this.#body, n, (label) => sink.unsigned(moved(label)))
    } else {
      sink.unsigned(moved(immediate[n]))
    }
  }
}

function levelsAround(body: Body, sites: Sites, site: number): Level[] {
  const { opcode, mate } = body
  const kind = sites.kind.values[site]
  const last = kind === SITE.turn ? sites.instruction.values[site] : sites.instruction.values[site] - 1
  const open: { readonly opener: number; part: number }[] = []
  for (let n = 0; n <= last; n++) {
    const op = opcode[n]
    if (op === OP.block || op === OP.loop || op === OP.if) open.push({ opener: n, part: n })
    else if (op === OP.else) open[open.length - 1].part = n
    else if (op === OP.end) open.pop()
  }
  return open.map(({ opener, part }) => {
    const close = mate[part]
    return { opener, isLoop: opcode[opener] === OP.loop, close, end: opcode[close] === OP.else ? mate[close] : close }
  })
}
