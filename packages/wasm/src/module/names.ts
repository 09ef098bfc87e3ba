/** Names for messages: what the name section (WebAssembly Core Specification 2.0, appendix 7.4) calls a function. */

import { Cursor } from './cursor.ts'
import type { WasmModule } from './module.ts'

const FUNCTION_NAMES = 1
/** Of the extended name section, which LLVM writes: https://github.com/WebAssembly/extended-name-section. */
const GLOBAL_NAMES = 7

/** `function 3 ("main")`, or without the name where the module does not tell it. */
export function describeFunction(module: WasmModule, functionIndex: number): string {
  const name = functionName(module, functionIndex)
  return name === undefined ? `function ${functionIndex}` : `function ${functionIndex} ("${name}")`
}

/** As it was imported, or as the name section calls it. */
export function functionName(module: WasmModule, functionIndex: number): string | undefined {
  return module.imports[functionIndex]?.name ?? findName(module, FUNCTION_NAMES, functionIndex)
}

export function globalName(module: WasmModule, globalIndex: number): string | undefined {
  return findName(module, GLOBAL_NAMES, globalIndex)
}

function findName(module: WasmModule, subsection: number, wanted: number): string | undefined {
  if (module.nameSection === undefined) return undefined
  const cursor = new Cursor(module.bytes, module.nameSection.start, module.nameSection.end)
  try {
    while (cursor.at < cursor.end) {
      const id = cursor.u8()
      const size = cursor.u32()
      if (id !== subsection) {
        cursor.skip(size)
        continue
      }
      for (let count = cursor.count(); count > 0; count--) {
        const index = cursor.u32()
        const name = cursor.name()
        if (index === wanted) return name
      }
      return undefined
    }
  } catch {
    // A broken name section breaks no program.
  }
  return undefined
}
