/** Rewrites one program in a cold process, as a run does: rewrite.child.ts NAME. Measured by rewrite.ts and wasm.ts. */

import { MEMORY_LIMIT_PAGES_DEFAULT, rewrite, STACK_LIMIT_SLOTS_DEFAULT } from '@reprise/wasm'
import { type ProgramName, programs } from '../programs/catalog.ts'

export interface RewriteAnswer {
  readonly seconds: number
  readonly bytesBefore: number
  /** Without custom sections, which hold names and debugging data: rewriting leaves them out. */
  readonly growth: number
  /** Of the code section of the rewritten module. */
  readonly codeBytes: number
}

const CUSTOM_SECTION = 0
const CODE_SECTION = 10

/** Lengths by id of section; WebAssembly Core 2.0 §5.5.2: an id, a length in LEB128, the content. */
function sectionBytes(module: Uint8Array): number[] {
  const lengths: number[] = Array.from({ length: 16 }, () => 0)
  for (let at = 8; at < module.length;) {
    const id = module[at++]
    let length = 0
    for (let shift = 0, more = true; more; shift += 7) {
      more = (module[at] & 0x80) !== 0
      length += (module[at++] & 0x7f) * 2 ** shift
    }
    lengths[id] += length
    at += length
  }
  return lengths
}

const neededBytes = (module: Uint8Array): number =>
  sectionBytes(module).reduce((sum, length, id) => (id === CUSTOM_SECTION ? sum : sum + length), 0)

const bytes = programs[process.argv[2] as ProgramName].module()
const startedMs = performance.now()
const rewritten = rewrite(bytes, {
  floats: 'canonical',
  stackLimitSlots: STACK_LIMIT_SLOTS_DEFAULT,
  memoryLimitPages: MEMORY_LIMIT_PAGES_DEFAULT,
  capture: true,
})
const answer: RewriteAnswer = {
  seconds: (performance.now() - startedMs) / 1000,
  bytesBefore: bytes.length,
  growth: neededBytes(rewritten.bytes) / neededBytes(bytes),
  codeBytes: sectionBytes(rewritten.bytes)[CODE_SECTION],
}
process.stdout.write(JSON.stringify(answer))
