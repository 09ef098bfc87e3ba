/** What a frame has to be, to come from the module that it is said to come from. */

import { WasmError } from '../error.ts'
import type { WasmModule } from '../module/module.ts'
import type { Frame, FrameValue } from '../state/frames.ts'
import type { ExpectedValue } from './continuation.ts'

export function fitsValue({ type, tags }: ExpectedValue, value: FrameValue, module: () => WasmModule): boolean {
  if (value.type !== type) return false
  if (value.type === 'funcref') return value.function === undefined || value.function < module().functions.length
  if (value.type !== 'exnref') return true
  const { exception } = value
  if (exception === undefined) return tags === undefined
  const declared = module().tags
  if (exception.tag >= declared.length || tags?.includes(exception.tag) === false) return false
  const { params } = declared[exception.tag]
  return params.length === exception.values.length && params.every((each, i) => each === exception.values[i].type)
}

/** The error for a frame that cannot come from the module. */
export function foreign({ function: index, site }: Pick<Frame, 'function' | 'site'>, why: string): WasmError {
  return new WasmError('SNAPSHOT', {
    message: `A frame of the snapshot (function ${index}, site ${site}) does not fit the module: ${why}.`,
    hint: 'A snapshot belongs to one module and one version of its semantics.',
  })
}
