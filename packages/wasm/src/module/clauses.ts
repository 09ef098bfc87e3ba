/** The clauses of a `try_table`: WebAssembly Core Specification 3.0, §5.4.1. */

import type { Body } from './body.ts'
import { Cursor } from './cursor.ts'

/** Kinds of clauses of a try_table. */
export const CLAUSE = { catch: 0, catchRef: 1, catchAll: 2, catchAllRef: 3 } as const

export interface Clause {
  readonly kind: number
  /** Meaningless for those that catch all. */
  readonly tag: number
  /** Counted from outside of the try_table. */
  readonly label: number
}

/** The clauses of the try_table at an instruction. */
export function clausesOf(body: Body, n: number): Clause[] {
  const cursor = new Cursor(body.bytes, body.at[n] + 1)
  cursor.signed33() // the block type
  return Array.from({ length: cursor.u32() }, () => {
    const kind = cursor.u8()
    const tag = kind <= CLAUSE.catchRef ? cursor.u32() : 0
    return { kind, tag, label: cursor.u32() }
  })
}
