/**
 * Which functions lie on a cycle of the call graph, and which may reach a poll site or a host call.
 *
 * The graph has a node per function and one per function type: an indirect call of type T is an edge to T's node,
 * which has edges to every function of an equal type that an element segment lists (spec/wasm-machine.md §4).
 */

import type { WasmModule } from '../module/module.ts'

/** Edges of a graph, node by node, in the order the nodes were closed. */
export class Edges {
  #targets = new Uint32Array(1 << 16)
  #length = 0
  readonly #starts: number[] = [0]
  readonly #lastSource: Int32Array

  constructor(nodes: number) {
    this.#lastSource = new Int32Array(nodes).fill(-1)
  }

  /** Adds an edge from the node that is open; a repeated edge is dropped. */
  add(target: number): void {
    const source = this.#starts.length
    if (this.#lastSource[target] === source) return
    this.#lastSource[target] = source
    if (this.#length === this.#targets.length) {
      const larger = new Uint32Array(2 * this.#length)
      larger.set(this.#targets)
      this.#targets = larger
    }
    this.#targets[this.#length++] = target
  }

  close(): void {
    this.#starts.push(this.#length)
  }

  get nodes(): number {
    return this.#starts.length - 1
  }

  start(node: number): number {
    return this.#starts[node]
  }

  target(edge: number): number {
    return this.#targets[edge]
  }
}

export interface CallGraph {
  /** By function index: 1 when the function can call itself again, directly or through others. */
  readonly cyclic: Uint8Array
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

/** Marks of functions, by index. */
export interface FunctionMarks {
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
  const cyclic = new Uint8Array(edges.nodes)
  const reaches = new Uint8Array(edges.nodes)
  const polls = new Uint8Array(edges.nodes)
  const throws = new Uint8Array(edges.nodes)
  // Components come callees first, so that one pass carries `reaches` up to the callers.
  forEachComponent(edges, (component) => {
    const isCycle = component.length > 1 || hasEdge(edges, component[0], component[0])
    let reached = isCycle
    let polled = isCycle
    for (const node of component) {
      cyclic[node] = isCycle ? 1 : 0
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
  const byType = (marks: Uint8Array): Uint8Array => Uint8Array.from(nodes, (node) => marks[node])
  return {
    ...{ cyclic, reaches, polls, throws },
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

/** Tarjan's strongly connected components (1972) with its own stack: call chains are longer than JavaScript's. */
function forEachComponent(edges: Edges, visit: (component: readonly number[]) => void): void {
  const order = new Int32Array(edges.nodes).fill(-1)
  const low = new Int32Array(edges.nodes)
  const onStack = new Uint8Array(edges.nodes)
  const nextEdge = Uint32Array.from({ length: edges.nodes }, (_, node) => edges.start(node))
  const stack: number[] = []
  const path: number[] = []
  let counter = 0
  const enter = (node: number): void => {
    order[node] = low[node] = counter++
    onStack[node] = 1
    stack.push(node)
    path.push(node)
  }
  for (let root = 0; root < edges.nodes; root++) {
    if (order[root] >= 0) continue
    enter(root)
    while (path.length > 0) {
      const node = path[path.length - 1]
      if (nextEdge[node] < edges.start(node + 1)) {
        const target = edges.target(nextEdge[node]++)
        if (order[target] < 0) enter(target)
        else if (onStack[target] === 1) low[node] = Math.min(low[node], order[target])
        continue
      }
      path.pop()
      const parent = path.at(-1)
      if (parent !== undefined) low[parent] = Math.min(low[parent], low[node])
      if (low[node] !== order[node]) continue
      const component = stack.splice(stack.lastIndexOf(node))
      for (const member of component) onStack[member] = 0
      visit(component)
    }
  }
}
