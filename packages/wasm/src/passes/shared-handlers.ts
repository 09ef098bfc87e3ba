/**
 * Which sites of a function share a handler, and where handlers leave the values of a frame.
 *
 * A handler of its own for every site is most of what a module that can be captured costs the engine's compiler. Sites that
 * need nearly the same values share one; before it is entered, what this site does not need is zero, so that nothing is kept
 * alive for it while the function runs.
 */

import { TYPE } from '../module/result-types.ts'

/** A value of a frame: where it is kept and how its bits count. */
export interface SiteValue {
  readonly local: number
  /** Small number of its type. */
  readonly type: number
  /** A float whose NaNs count as the canonical one. */
  readonly free: boolean
}

export interface SharedHandler {
  readonly sites: readonly number[]
  /** All that one of its sites needs, by local. */
  readonly values: readonly SiteValue[]
}

/**
 * Values of a handler that a site may not need. Compiling all of SQLite with V8's optimising compiler takes 3.7 s of CPU
 * without handlers, 7.6 s where sites with equal values share one, 6.5 s with two, 5.8 s with this, 6.0 s with 32.
 */
const UNNEEDED_VALUES_MAX = 8
/** Sites near one another need the same values; looking at all others would take quadratic time. */
const HANDLERS_TRIED_MAX = 32

interface Growing {
  readonly sites: number[]
  readonly values: Map<number, SiteValue>
  /** Of the site that needs the fewest. */
  fewest: number
}

/** @param needed - What the frame of each site holds, in the order of the code. */
export function shareHandlers(
  needed: Iterable<readonly [site: number, values: readonly SiteValue[]]>,
): SharedHandler[] {
  const handlers: Growing[] = []
  for (const [site, values] of needed) {
    const handler: Growing = bestOf(handlers, values) ?? { sites: [], values: new Map(), fewest: values.length }
    if (handler.sites.length === 0) handlers.push(handler)
    handler.sites.push(site)
    handler.fewest = Math.min(handler.fewest, values.length)
    for (const value of values) handler.values.set(value.local, value)
  }
  return handlers
    .filter(({ sites }) => sites.length > 1)
    .map(({ sites, values }) => ({ sites, values: [...values.values()].sort((a, b) => a.local - b.local) }))
}

/** The handler that grows least by these values. */
function bestOf(handlers: readonly Growing[], values: readonly SiteValue[]): Growing | undefined {
  let best: Growing | undefined
  let bestCost = Infinity
  for (let i = Math.max(0, handlers.length - HANDLERS_TRIED_MAX); i < handlers.length; i++) {
    const handler = handlers[i]
    let added = 0
    for (const { local } of values) if (!handler.values.has(local)) added++
    const size = handler.values.size + added
    if (size - Math.min(handler.fewest, values.length) > UNNEEDED_VALUES_MAX) continue
    const cost = added * (handler.sites.length + 1) + size - values.length
    if (cost >= bestCost) continue
    best = handler
    bestCost = cost
  }
  return best
}

/** Whether a value goes through the globals of the stage; references are handed to the host. */
export function isStaged(type: number): boolean {
  return type !== TYPE.funcref && type !== TYPE.exnref
}

/** The stage has an i32 and an i64 by turns. */
export interface StagePlace {
  readonly kind: 'i32' | 'i64'
  /** Among those of its kind; a vector takes two. */
  readonly slot: number
}

/** Where a handler leaves these values, one after the other; `undefined` for those that do not go through the stage. */
export function stagePlaces(values: readonly SiteValue[]): (StagePlace | undefined)[] {
  const next = { i32: 0, i64: 0 }
  return values.map(({ type }) => {
    if (!isStaged(type)) return undefined
    const kind = type === TYPE.i32 || type === TYPE.f32 ? 'i32' : 'i64'
    const slot = next[kind]
    next[kind] += type === TYPE.v128 ? 2 : 1
    return { kind, slot }
  })
}
