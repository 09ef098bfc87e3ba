/** Where in the program a frame stands: function, name, instruction and source line. Frames: spec/wasm-machine.md §10. */
import type { CallGraph } from '../analysis/call-graph.ts'
import { SITE, Sites } from '../analysis/sites.ts'
import { Body } from '../module/body.ts'
import { readModule, SECTION, type WasmModule } from '../module/module.ts'
import { functionName, globalName } from '../module/names.ts'
import { OP } from '../module/opcodes.ts'
import { readCode } from '../passes/rewrite.ts'
import type { Frame } from '../state/frames.ts'
import { findSources, type Source } from './lines.ts'

export interface Place {
  readonly function: number
  /** As the name section has it; undefined in a stripped module. */
  readonly name: string | undefined
  /** Of the instruction, in bytes from the start of the module. */
  readonly offset: number
  /** As the module's DWARF has it; undefined where it has none. */
  readonly source: Source | undefined
}

export class Places {
  readonly #module: WasmModule
  readonly #graph: CallGraph
  readonly #body = new Body()
  readonly #sites = new Sites()

  /**
   * @param bytes - The original module.
   * @throws WasmError when it is none.
   */
  constructor(bytes: Uint8Array) {
    this.#module = readModule(bytes)
    this.#graph = readCode(this.#module, this.#body).graph
  }

  /** Of the frames of a guest that was left at a stop, or in a host call (`lookout`). */
  of(frames: readonly Pick<Frame, 'function' | 'site'>[]): Place[] {
    const places = frames.map((frame) => ({
      function: frame.function,
      name: functionName(this.#module, frame.function),
      offset: this.#offset(frame),
    }))
    const code = this.#module.sections.get(SECTION.code)?.start ?? 0
    const sources = findSources(this.#module.bytes, places.map(({ offset }) => offset - code)) // prettier-ignore
    return places.map((place, i) => ({ ...place, source: sources[i] }))
  }

  /** @param ordinal - Among the mutable globals, as a guest tells them. */
  mutableGlobal(ordinal: number): { readonly index: number; readonly name: string | undefined } | undefined {
    const indices = this.#module.globals.flatMap(({ mutable, type }, index) =>
      mutable && type !== undefined ? [index] : [],
    )
    const index = indices[ordinal]
    return index === undefined ? undefined : { index, name: globalName(this.#module, index) }
  }

  #offset({ function: index, site }: Pick<Frame, 'function' | 'site'>): number {
    const { cut, polls, typePolls, reaches, typeReaches } = this.#graph
    const body = this.#body
    body.decode(this.#module, index)
    const leads = (n: number, functions: Uint8Array, types: Uint8Array): boolean =>
      (body.opcode[n] === OP.call ? functions : types)[body.immediate[n]] === 1
    this.#sites.number(
      body,
      cut[index] === 1,
      (n) => leads(n, polls, typePolls),
      (n) => leads(n, reaches, typeReaches),
    )
    if (site >= this.#sites.count) throw new RangeError(`function ${index} has no site ${site}`)
    const isEntry = this.#sites.kind.values[site] === SITE.entry
    return body.at[isEntry ? 0 : this.#sites.instruction.values[site]]
  }
}
