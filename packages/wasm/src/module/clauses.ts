/** The clauses of a `try_table`: WebAssembly Core Specification 3.0, §5.4.1. */

import type { Body } from './body.ts'
import { checkIndex } from './body-parts.ts'
import { Cursor, malformed } from './cursor.ts'

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
  return Array.from({ length: cursor.u32() }, () => readClause(cursor, Infinity))
}

/** @throws {@link WasmError} `MALFORMED` when it is none, or names a tag from `tags` on. */
export function readClause(cursor: Cursor, tags: number): Clause {
  const at = cursor.at
  const kind = cursor.u8()
  if (kind > CLAUSE.catchAllRef) throw malformed(`unknown clause ${kind}`, at)
  const tag = kind <= CLAUSE.catchRef ? cursor.u32() : 0
  if (kind <= CLAUSE.catchRef) checkIndex(tag, tags, 'tag', at)
  return { kind, tag, label: cursor.u32() }
}
