/**
 * The way from the beginning of a function to one of its sites, which a continuation is written along.
 *
 * Of every construct around the site only the rest is left to run; a loop's rest stands before the loop itself. That gives
 * one more label per loop, so branches out of it have to reach further (docs/decisions/0005-continuations.md).
 */

import { SITE, type Sites } from '../analysis/sites.ts'
import type { Body } from '../module/body.ts'
import { STRUCTURE, structure } from '../module/opcodes.ts'

/** A construct around a site. */
export interface Level {
  readonly opener: number
  /** Where its part with the site begins: the opener, or an `else`, `catch` or `catch_all`. */
  readonly part: number
  /** What ends that part. */
  readonly close: number
  /** The `end` or `delegate` of the construct. */
  readonly end: number
}

/** Outermost first. */
export function levelsAround(body: Body, sites: Sites, site: number): Level[] {
  const { opcode, mate } = body
  const kind = sites.kind.values[site]
  const last = kind === SITE.turn ? sites.instruction.values[site] : sites.instruction.values[site] - 1
  const open: { readonly opener: number; part: number }[] = []
  for (let n = 0; n <= last; n++) {
    const change = structure[opcode[n]]
    if (change === STRUCTURE.opens) open.push({ opener: n, part: n })
    else if (change === STRUCTURE.continues) open[open.length - 1].part = n
    else if (change === STRUCTURE.closes) open.pop()
  }
  return open.map(({ opener, part }) => {
    const close = mate[part]
    let end = close
    while (structure[opcode[end]] !== STRUCTURE.closes) end = mate[end]
    return { opener, part, close, end }
  })
}
