/**
 * Compilation hints: which functions a program calls first. An engine that compiles a function when it is first called can
 * then compile them beside one another before that. Speed only; an engine may ignore them.
 *
 * Source: WebAssembly compilation hints (phase 2), custom section `metadata.code.compilation_priority` before the code: for each
 * function its index, an offset of 0, and as many bytes as follow: the priority, 0 being the highest.
 */
import { concat, equal, utf8 } from '@reprise/core'
import { SECTION } from '../module/module.ts'
import { sectionPlaces } from '../module/section-places.ts'
import { ByteSink } from '../module/sink.ts'

const NAME = utf8('metadata.code.compilation_priority')

/** @param module - A valid one. */
export function namesFirstCalls(module: Uint8Array): boolean {
  return sectionPlaces(module).some(({ id, start }) => {
    const name = start + 1
    return (
      id === SECTION.custom && module[start] === NAME.length && equal(module.subarray(name, name + NAME.length), NAME)
    )
  })
}

/**
 * @param module - A valid one with code, in which none are named.
 * @param functions - By index; those that are imported are none of its own.
 */
export function nameFirstCalls(module: Uint8Array, functions: readonly number[]): Uint8Array {
  const content = new ByteSink(NAME.length + 4 * functions.length + 8).vector(NAME).unsigned(functions.length)
  for (const index of functions) content.unsigned(index).u8(0).u8(1).u8(0)
  const section = new ByteSink(content.length + 8).u8(SECTION.custom).vector(content.done()).done()
  const code = sectionPlaces(module).find(({ id }) => id === SECTION.code)
  if (code === undefined) throw new Error('a module without code calls nothing')
  return concat(module.subarray(0, code.at), section, module.subarray(code.at))
}
