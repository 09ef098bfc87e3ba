/**
 * At which functions the machine looks, so that no call comes back without it, and what may reach a site or a host call.
 *
 * The graph has a node per function and one per function type: an indirect call of type T is an edge to T's node,
 * which has edges to every function of an equal type that an element segment lists (spec/wasm-machine.md §4).
 */

import type { WasmModule } from '../module/module.ts'
import { cutFunctions, slotsOf } from './cuts.ts'
import { type Edges, forEachComponent } from './edges.ts'

const NONE = -1

export interface CallGraph {
  /** By function index: 1 when its entry is a site. Every cycle of calls leads through one. */
  readonly cut: Uint8Array
  /** By function index: stack slots that an activation takes, where its entry is a site. */
  readonly slots: Uint32Array
  /** By function index: 1 when a call may end at a poll site or a host call. */
  readonly reaches: Uint8Array
  /** The same for an indirect call, by type index. */
  readonly typeReaches: Uint8Array
  /** By function index: 1 when a call may end at a poll site. */
  readonly polls: Uint8Array
  /** The same for an indirect call, by type index. */
  readonly typePolls: Uint8Array
  /** By function index: 1 when a call may end with an exception of the guest. */
  readonly throws: Uint8Array
  /** The same for an indirect call, by type index. */
  readonly typeThrows: Uint8Array
}

/** What is known of each function, by index. */
export interface FunctionMarks {
  /** Stack slots of an activation itself; 0 for host functions. */
  readonly ownSlots: Uint32Array
  /** Some function has a tail call. */
  readonly hasTailCalls: boolean
  /** 1 for host functions and functions with loops. */
  readonly hasSite: Uint8Array
  /** 1 for functions with an instruction that throws. */
  readonly hasThrow: Uint8Array
}

/** Node of each type index: equal types share the node of the first of them. */
export function typeNodes(module: WasmModule): Uint32Array {
  const first = new Map<string, number>()
  return Uint32Array.from(module.types, ({ key }, index) => {
    const known = first.get(key) ?? index
    first.set(key, known)
    return module.functions.length + known
  })
}

/** Closes the nodes of the types, after those of all functions. */
export function addTypeEdges(edges: Edges, module: WasmModule, nodes: Uint32Array): void {
  const targets = new Map<number, number[]>()
  for (const target of module.addressTaken) {
    const node = nodes[module.functions[target]]
    const list = targets.get(node)
    if (list === undefined) targets.set(node, [target])
    else list.push(target)
  }
  for (let type = 0; type < module.types.length; type++) {
    for (const target of targets.get(module.functions.length + type) ?? []) edges.add(target)
    edges.close()
  }
}

/**
 * @param edges - One closed node per function, then one per type index.
 * @param nodes - As {@link typeNodes} gives them.
 */
export function analyseCalls(edges: Edges, module: WasmModule, marks: FunctionMarks, nodes: Uint32Array): CallGraph {
  const { hasSite, hasThrow } = marks
  const functions = module.functions.length
  const componentOf = new Int32Array(edges.nodes).fill(NONE)
  const reaches = new Uint8Array(edges.nodes)
  const polls = new Uint8Array(edges.nodes)
  const throws = new Uint8Array(edges.nodes)
  // Components come callees first, so that one pass carries `reaches` up to the callers.
  forEachComponent(edges, undefined, (component) => {
    const isCycle = component.length > 1 || hasEdge(edges, component[0], component[0])
    let reached = isCycle
    let polled = isCycle
    for (const node of component) {
      if (isCycle) componentOf[node] = component[0]
      if (node < functions && hasSite[node] === 1) {
        reached = true
        polled ||= node >= module.imports.length
      }
      for (let edge = edges.start(node); !polled && edge < edges.start(node + 1); edge++) {
        const target = edges.target(edge)
        reached ||= reaches[target] === 1
        polled = polls[target] === 1
      }
    }
    if (component.some((node) => hasThrow[node] === 1 || hasMarkedTarget(edges, node, throws))) {
      for (const node of component) throws[node] = 1
    }
    if (reached) for (const node of component) reaches[node] = 1
    if (polled) for (const node of component) polls[node] = 1
  })
  const cut = cutFunctions(edges, { functions, componentOf, hasTailCalls: marks.hasTailCalls })
  const byType = (byNode: Uint8Array): Uint8Array => Uint8Array.from(nodes, (node) => byNode[node])
  return {
    ...{ cut, slots: slotsOf(edges, cut, marks.ownSlots), reaches, polls, throws },
    ...{ typeReaches: byType(reaches), typePolls: byType(polls), typeThrows: byType(throws) },
  }
}

function hasMarkedTarget(edges: Edges, source: number, marks: Uint8Array): boolean {
  for (let edge = edges.start(source); edge < edges.start(source + 1); edge++) {
    if (marks[edges.target(edge)] === 1) return true
  }
  return false
}

function hasEdge(edges: Edges, source: number, target: number): boolean {
  for (let edge = edges.start(source); edge < edges.start(source + 1); edge++) {
    if (edges.target(edge) === target) return true
  }
  return false
}
