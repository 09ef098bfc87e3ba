/** Whether a value of a frame can stand where its site expects one. */

import type { WasmModule } from '../module/module.ts'
import type { FrameValue } from '../state/frames.ts'
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
