/** Function references as numbers: what the engine shows of a function, and its index in the original module. */

import type { ModuleFacts } from './passes/rewrite.ts'
import { FUNCTIONS_EXPORT, tableExport } from './passes/sections.ts'

/** Stands for a null reference among the bits of a table. */
export const NULL_BITS = 0xffff_ffffn

export class References {
  readonly #exports: WebAssembly.Exports
  readonly #facts: ModuleFacts
  /** Made when the first reference is met: the engine makes an object for each function. */
  #indices: Map<unknown, number> | undefined

  constructor(exports: WebAssembly.Exports, facts: ModuleFacts) {
    this.#exports = exports
    this.#facts = facts
  }

  #table(): WebAssembly.Table {
    return this.#exports[FUNCTIONS_EXPORT] as WebAssembly.Table
  }

  /** A function of the original module, as the engine shows it. */
  function(index: number): unknown {
    const { imports, functions } = this.#facts
    return this.#table().get(index < imports.length ? index : index + functions.shift)
  }

  /** `undefined` for a null reference. */
  index(reference: unknown): number | undefined {
    if (reference === null) return undefined
    this.#indices ??= new Map(Array.from({ length: this.#facts.functions.count }, (_, i) => [this.function(i), i]))
    const index = this.#indices.get(reference)
    if (index === undefined) throw new Error('broken invariant: a reference is to a function of the module')
    return index
  }

  /** Of every table that code can change: how many entries it has, then each. */
  tableBits(): bigint[] {
    return this.#facts.tables.flatMap(({ index }) => {
      const table = this.#exports[tableExport(index)] as WebAssembly.Table
      const bits = [BigInt(table.length)]
      for (let i = 0; i < table.length; i++) {
        const found = this.index(table.get(i))
        bits.push(found === undefined ? NULL_BITS : BigInt(found))
      }
      return bits
    })
  }

  /** @returns False, and the tables are not as they were, when these are no bits of the tables. */
  restoreTables(bits: readonly bigint[]): boolean {
    let at = 0
    for (const { index, minEntries, maxEntries } of this.#facts.tables) {
      const table = this.#exports[tableExport(index)] as WebAssembly.Table
      const length = Number(bits[at++] ?? -1n)
      if (length < minEntries || length > maxEntries || length > bits.length - at) return false
      if (length > table.length) table.grow(length - table.length)
      for (let i = 0; i < length; i++) {
        const found = bits[at++]
        if (found !== NULL_BITS && found >= BigInt(this.#facts.functions.count)) return false
        table.set(i, found === NULL_BITS ? null : this.function(Number(found)))
      }
    }
    return at === bits.length
  }
}
