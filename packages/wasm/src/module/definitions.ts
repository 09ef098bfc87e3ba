/** What the sections of a module define, as far as the machine looks at it. */

import type { NumericType, ValueType } from './opcodes.ts'

export interface FunctionType {
  readonly params: readonly ValueType[]
  readonly results: readonly ValueType[]
  /** Equal for structurally equal types. */
  readonly key: string
}

export interface FunctionImport {
  readonly module: string
  readonly name: string
  readonly type: number
}

export type GlobalDefinition =
  | { readonly type: NumericType; readonly mutable: boolean }
  | { readonly type: 'funcref'; readonly mutable: false }

/** Of exceptions. */
export interface TagDefinition {
  readonly type: number
  /** What an exception with this tag carries. */
  readonly params: readonly NumericType[]
}

export interface TableDefinition {
  readonly minEntries: number
  readonly maxEntries: number | undefined
}

export interface ExportDefinition {
  readonly name: string
  /** 0 function, 1 table, 2 memory, 3 global, 4 tag. */
  readonly kind: number
  readonly index: number
}

export interface ByteRange {
  readonly start: number
  readonly end: number
}
