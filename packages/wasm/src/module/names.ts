/** Names for messages: what the name section (WebAssembly Core Specification 2.0, appendix 7.4) calls a function. */

import { Cursor } from './cursor.ts'
import type { WasmModule } from './module.ts'

const FUNCTION_NAMES = 1

/** `function 3 ("main")`, or without the name where the module does not tell it. */
export function describeFunction(module: WasmModule, functionIndex: number): string {
  const name = findName(module, functionIndex)
  return name === undefined ? `function ${functionIndex}` : `function ${functionIndex} ("${name}")`
}

function findName(module: WasmModule, functionIndex: number): string | undefined {
  if (module.nameSection === undefined) return undefined
  const cursor = new Cursor(module.bytes, module.nameSection.start, module.nameSection.end)
  try {
    while (cursor.at < cursor.end) {
      const id = cursor.u8()
      const size = cursor.u32()
      if (id !== FUNCTION_NAMES) {
        cursor.skip(size)
        continue
      }
      for (let count = cursor.count(); count > 0; count--) {
        const index = cursor.u32()
        const name = cursor.name()
        if (index === functionIndex) return name
      }
      return undefined
    }
  } catch {
    // A broken name section breaks no program.
  }
  return undefined
}
