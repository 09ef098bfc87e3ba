/** What happens when: a binary heap by time, and by order of arrival among what happens at once. */

export type Happening = () => void

export interface EventQueue {
  readonly push: (atMs: number, happening: Happening) => void
  /** Takes the next one that is due until then. */
  readonly pop: (untilMs: number) => { readonly atMs: number; readonly happening: Happening } | undefined
  readonly size: () => number
}

interface Entry {
  readonly atMs: number
  readonly order: number
  readonly happening: Happening
}

export function eventQueue(): EventQueue {
  const heap: Entry[] = []
  let arrivals = 0
  const isBefore = (a: Entry, b: Entry): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)

  function push(atMs: number, happening: Happening): void {
    const entry = { atMs, order: arrivals++, happening }
    let at = heap.length
    heap.push(entry)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(entry, heap[parent])) break
      heap[at] = heap[parent]
      at = parent
    }
    heap[at] = entry
  }

  function pop(untilMs: number): Entry | undefined {
    const first = heap.at(0)
    if (first === undefined || first.atMs > untilMs) return undefined
    const last = heap.pop()
    if (last !== undefined && heap.length > 0) sink(last)
    return first
  }

  function sink(entry: Entry): void {
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1], heap[child])) child += 1
      if (!isBefore(heap[child], entry)) break
      heap[at] = heap[child]
      at = child
    }
    heap[at] = entry
  }

  return { push, pop, size: () => heap.length }
}
