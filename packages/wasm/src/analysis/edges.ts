/** A graph as it is read from code, and its strongly connected components. */

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

/**
 * Tarjan's strongly connected components (1972), callees first, with its own stack: call chains are longer than JavaScript's.
 *
 * @param closed - By node: 1 where no edge is followed to.
 */
export function forEachComponent(
  edges: Edges,
  closed: Uint8Array | undefined,
  visit: (component: readonly number[]) => void,
): void {
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
        if (closed?.[target] === 1) continue
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
