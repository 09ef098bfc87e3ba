/** The code around a guest's own handlers of exceptions (docs/decisions/0006-exceptions.md). */

import { blockResultTypes } from '../analysis/sites.ts'
import type { Body } from '../module/body.ts'
import { CLAUSE } from '../module/clauses.ts'
import type { WasmModule } from '../module/module.ts'
import { OP, type ValueType } from '../module/opcodes.ts'
import type { ByteSink } from '../module/sink.ts'
import { tagClauses, uncheckedLabels, writeCaught, writeDrops, writeRaise } from './exceptions.ts'
import type { FuelCode } from './fuel.ts'
import type { Labels } from './labels.ts'
import type { Layout } from './layout.ts'

interface HandlerParts {
  readonly sink: ByteSink
  readonly module: WasmModule
  readonly body: Body
  readonly layout: Layout
  readonly labels: Labels
  readonly fuel: FuelCode
  readonly blockType: (results: readonly ValueType[], params?: readonly ValueType[]) => number
  /** A scratch local of type exnref. */
  readonly exceptionLocal: () => number
}

export class HandlerCode {
  readonly #parts: HandlerParts
  #slotsLocal: number | undefined

  constructor(parts: HandlerParts) {
    this.#parts = parts
  }

  /** @param slotsLocal - Local that holds how many slots are free in the activation; `undefined`: they are not counted. */
  open(slotsLocal: number | undefined): void {
    this.#slotsLocal = slotsLocal
  }

  /** Begins a try_table whose clauses lead to blocks around it, so that handlers can be told from the machine's. */
  openTryTable(n: number, params: readonly ValueType[]): void {
    const { sink, body, module, labels, blockType } = this.#parts
    const clauses = tagClauses(body, n, module)
    const whole = blockType(blockResultTypes(body, n, module), params)
    sink.u8(OP.block).signed(whole)
    for (const { tag, isReference } of clauses.toReversed()) {
      const carried = module.tags[tag].params
      sink.u8(OP.block).signed(blockType(isReference ? [...carried, 'exnref'] : carried, params))
    }
    sink.u8(OP.tryTable).signed(whole).unsigned(clauses.length)
    for (const [i, { tag, isReference }] of clauses.entries()) {
      const kind = isReference ? CLAUSE.catchRef : CLAUSE.catch
      sink.u8(kind).unsigned(tag).unsigned(i)
    }
    labels.open(clauses.length + 1)
  }

  closeTryTable(n: number): void {
    const { sink, body, module, labels, exceptionLocal, blockType } = this.#parts
    const clauses = tagClauses(body, n, module)
    labels.close()
    sink.u8(OP.end).u8(OP.br).unsigned(clauses.length)
    // Nothing runs here; the engine checks that the clauses that are not written fit their labels.
    for (const { label, isReference } of uncheckedLabels(body, n, clauses)) {
      sink.u8(OP.block).signed(blockType([]))
      if (isReference) sink.u8(OP.localGet).unsigned(exceptionLocal())
      sink
        .u8(OP.br)
        .unsigned(labels.moved(label) + clauses.length + 2)
        .u8(OP.end)
    }
    for (const [i, clause] of clauses.entries()) {
      sink.u8(OP.end)
      writeDrops(sink, clause, exceptionLocal)
      this.#writeArrival()
      sink.u8(OP.br).unsigned(labels.moved(clause.label) + clauses.length - i)
    }
    sink.u8(OP.end)
  }

  /** Behind a legacy `catch` or `catch_all`. */
  writeCatch(op: number): void {
    const { sink, layout } = this.#parts
    writeCaught(sink, op, layout)
    this.#writeArrival()
  }

  /** Where an exception arrives: the activations that it has left give back their slots, and what they used of the fuel. */
  #writeArrival(): void {
    const { fuel } = this.#parts
    if (this.#slotsLocal !== undefined) fuel.writeSlots(this.#slotsLocal)
    if (fuel.cached) fuel.load()
  }

  /** Before a `throw`, `rethrow` or `throw_ref`. */
  writeThrow(op: number): void {
    const { sink, fuel, layout } = this.#parts
    if (fuel.cached) fuel.store()
    if (op !== OP.throwRef) writeRaise(sink, layout)
  }
}
