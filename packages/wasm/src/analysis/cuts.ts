/**
 * The functions that are cut: the machine looks at their entries, and without them nothing calls itself again
 * (spec/wasm-machine.md §4). And what the stack holds from one of them to the next (§6.1).
 *
 * Any choice that leaves no cycle would do. This one was measured: in CPython it takes a quarter of the functions on
 * cycles, and what is called most are small functions that call nothing indirectly.
 */

import { type Edges, forEachComponent } from './edges.ts'

/** Slots of every activation, besides its operands, locals and parameters. */
export const ACTIVATION_SLOTS = 16
/** No activation takes more: it is more than any limit. */
export const SLOTS_MAX = 2 ** 29

export interface CycleFacts {
  /** Nodes below this are functions, the others types. */
  readonly functions: number
  /** By node: the same number for those on common cycles; negative: on none. */
  readonly componentOf: Int32Array
  readonly hasTailCalls: boolean
}

/** By node: 1 where a function is cut. */
export function cutFunctions(edges: Edges, { functions, componentOf, hasTailCalls }: CycleFacts): Uint8Array {
  const cut = new Uint8Array(edges.nodes)
  for (let f = 0; f < functions; f++) {
    if (componentOf[f] < 0) continue
    // A tail call gives the slots of its activation back: what it calls has to take its own.
    if (hasTailCalls || callsBackIndirectly(edges, f, { functions, componentOf })) cut[f] = 1
  }
  cutDirectCycles(edges, { functions, componentOf }, cut)
  return cut
}

function callsBackIndirectly(
  edges: Edges,
  source: number,
  { functions, componentOf }: Omit<CycleFacts, 'hasTailCalls'>,
): boolean {
  for (let edge = edges.start(source); edge < edges.start(source + 1); edge++) {
    const target = edges.target(edge)
    if (target >= functions && componentOf[target] === componentOf[source]) return true
  }
  return false
}

const VISIT = { none: 0, onPath: 1, done: 2 } as const

/** A walk depth first along direct calls; a function that is called while it is on the path is cut from then on. */
function cutDirectCycles(
  edges: Edges,
  { functions, componentOf }: Omit<CycleFacts, 'hasTailCalls'>,
  cut: Uint8Array,
): void {
  const visits = new Uint8Array(functions)
  const nextEdge = Uint32Array.from({ length: functions }, (_, node) => edges.start(node))
  const path: number[] = []
  for (let root = 0; root < functions; root++) {
    if (componentOf[root] < 0 || cut[root] === 1 || visits[root] !== VISIT.none) continue
    visits[root] = VISIT.onPath
    path.push(root)
    for (let node = path.at(-1); node !== undefined; node = path.at(-1)) {
      if (nextEdge[node] === edges.start(node + 1)) {
        visits[node] = VISIT.done
        path.pop()
        continue
      }
      const target = edges.target(nextEdge[node]++)
      if (target >= functions || componentOf[target] < 0 || cut[target] === 1) continue
      if (visits[target] === VISIT.onPath) cut[target] = 1
      else if (visits[target] === VISIT.none) {
        visits[target] = VISIT.onPath
        path.push(target)
      }
    }
  }
}

/**
 * By node: slots of an activation, with the most that activations of functions that are not cut can take above it.
 *
 * @param own - By function: slots of an activation itself.
 */
export function slotsOf(edges: Edges, cut: Uint8Array, own: Uint32Array): Uint32Array {
  const slots = new Uint32Array(edges.nodes)
  forEachComponent(edges, cut, ([node, ...others]) => {
    if (others.length > 0) throw new Error('broken invariant: without the functions that are cut nothing calls itself')
    let above = 0
    for (let edge = edges.start(node); edge < edges.start(node + 1); edge++) {
      const target = edges.target(edge)
      if (cut[target] === 0) above = Math.max(above, slots[target])
    }
    slots[node] = Math.min(SLOTS_MAX, (own[node] ?? 0) + above)
  })
  return slots
}
