import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { cutFunctions, SLOTS_MAX, slotsOf } from './cuts.ts'
import { Edges } from './edges.ts'

/** Nodes below `functions` are functions, the others types; a type has edges to functions alone. */
interface Graph {
  readonly functions: number
  readonly targets: readonly (readonly number[])[]
}

const graphs: fc.Arbitrary<Graph> = fc
  .integer({ min: 1, max: 9 })
  .chain((functions) =>
    fc
      .integer({ min: 0, max: 3 })
      .chain((types) =>
        fc
          .tuple(
            ...Array.from({ length: functions }, () =>
              fc.uniqueArray(fc.nat({ max: functions + types - 1 }), { maxLength: 4 }),
            ),
            ...Array.from({ length: types }, () => fc.uniqueArray(fc.nat({ max: functions - 1 }), { maxLength: 4 })),
          )
          .map((targets) => ({ functions, targets })),
      ),
  )

function edgesOf({ targets }: Graph): Edges {
  const edges = new Edges(targets.length)
  for (const list of targets) {
    for (const target of list) edges.add(target)
    edges.close()
  }
  return edges
}

/** By node: what some way of at least one edge leads to; ways end at nodes that are `closed`. */
function reached({ targets }: Graph, closed: (node: number) => boolean = () => false): Set<number>[] {
  return targets.map((list) => {
    const found = new Set(list.filter((node) => !closed(node)))
    for (const node of found) for (const next of targets[node]) if (!closed(next)) found.add(next)
    return found
  })
}

/** By definition: the same number for nodes that lead to each other, −1 for those that do not lead to themselves. */
function componentsOf(graph: Graph): Int32Array {
  const ways = reached(graph)
  return Int32Array.from(ways, (way, node) =>
    way.has(node) ? ways.findIndex((back, other) => way.has(other) && back.has(node)) : -1,
  )
}

function cutIn(graph: Graph, hasTailCalls = false): Uint8Array {
  const componentOf = componentsOf(graph)
  return cutFunctions(edgesOf(graph), { functions: graph.functions, componentOf, hasTailCalls })
}

describe('cutFunctions', () => {
  test('leaves no cycle, and takes functions on cycles alone', () => {
    fc.assert(
      fc.property(graphs, fc.boolean(), (graph, hasTailCalls) => {
        const cut = cutIn(graph, hasTailCalls)
        const without = reached(graph, (node) => cut[node] === 1)
        for (const [node, way] of without.entries()) if (cut[node] === 0) expect(way.has(node)).toBe(false)
        const componentOf = componentsOf(graph)
        for (const [node, isCut] of cut.entries()) {
          if (isCut === 1) expect(node < graph.functions && componentOf[node] >= 0).toBe(true)
          else if (hasTailCalls && node < graph.functions) expect(componentOf[node]).toBe(-1)
        }
      }),
      { numRuns: 2000 },
    )
  })

  test.each<[string, Graph, number[]]>([
    ['a function that calls itself', { functions: 2, targets: [[1], [1]] }, [1]],
    ['of two that call each other the one that the walk begins with', { functions: 2, targets: [[1], [0]] }, [0]],
    ['the one that is on the path, not where the walk began', { functions: 3, targets: [[1], [2], [1]] }, [1]],
    ['none twice: behind a function that is cut the walk does not go on', { functions: 3, targets: [[1], [0, 2], [0]] }, [0]], // prettier-ignore
    ['the caller, when a cycle leads through a type', { functions: 2, targets: [[1], [2], [0]] }, [1]],
    ['nothing for a type that leads elsewhere', { functions: 2, targets: [[2], [], [1]] }, []],
    [
      'what it comes to in the order of the calls',
      {
        functions: 3,
        targets: [
          [2, 1],
          [0, 2],
          [0, 1],
        ],
      },
      [0, 2],
    ],
    [
      'the same in another order',
      {
        functions: 3,
        targets: [
          [1, 2],
          [0, 2],
          [0, 1],
        ],
      },
      [0, 1],
    ],
  ])('cuts %s', (_, graph, expected) => {
    const found = [...cutIn(graph).entries()].flatMap(([node, isCut]) => (isCut === 1 ? [node] : []))
    expect(found).toEqual(expected)
  })
})

describe('slotsOf', () => {
  test('is the most that lies on the stack before the next function that is cut, whatever is called', () => {
    const walks = fc.array(fc.nat(), { maxLength: 30 })
    const owns = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 9, maxLength: 9 })
    fc.assert(
      fc.property(graphs, owns, walks, (graph, sizes, choices) => {
        const own = Uint32Array.from(sizes.slice(0, graph.functions))
        const cut = cutIn(graph)
        const slots = slotsOf(edgesOf(graph), cut, own)
        for (let first = 0; first < graph.targets.length; first++) {
          let node = first
          let [taken, needed] = [slots[first], own[first] ?? 0]
          for (const choice of choices) {
            const next = graph.targets[node]
            if (next.length === 0) break
            node = next[choice % next.length]
            if (cut[node] === 1) taken += slots[node]
            needed += own[node] ?? 0
            expect(needed).toBeLessThanOrEqual(taken)
          }
          expect(slots[first]).toBe((own[first] ?? 0) + mostBehind(graph, cut, own, first))
        }
      }),
      { numRuns: 1000 },
    )
  })

  test('is no more than fits the machine', () => {
    const graph = { functions: 3, targets: [[0, 1], [2], []] }
    const own = Uint32Array.of(2 ** 28, 2 ** 28, 2 ** 28)
    expect([...slotsOf(edgesOf(graph), cutIn(graph), own)]).toEqual([SLOTS_MAX, SLOTS_MAX, 2 ** 28])
  })
})

/** All ways, one by one. */
function mostBehind(graph: Graph, cut: Uint8Array, own: Uint32Array, node: number): number {
  const open = graph.targets[node].filter((target) => cut[target] === 0)
  return Math.max(0, ...open.map((target) => (own[target] ?? 0) + mostBehind(graph, cut, own, target)))
}
