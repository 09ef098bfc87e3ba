/** Rewrites one module in a cold process: rewrite.child.ts PATH. Measured by rewrite.ts. */

import { readFileSync } from 'node:fs'
import { MEMORY_LIMIT_PAGES_DEFAULT, rewrite, STACK_LIMIT_SLOTS_DEFAULT } from '@reprise/wasm'

export interface RewriteAnswer {
  readonly seconds: number
  readonly bytesBefore: number
  /** Of the code section: rewriting leaves out names and debugging data. */
  readonly codeGrowth: number
}

const CODE_SECTION = 10

/** Length of the code section; WebAssembly Core 2.0 §5.5.2: an id, a length in LEB128, the content. */
function codeBytes(module: Uint8Array): number {
  for (let at = 8; at < module.length;) {
    const id = module[at++]
    let length = 0
    for (let shift = 0, more = true; more; shift += 7) {
      more = (module[at] & 0x80) !== 0
      length += (module[at++] & 0x7f) * 2 ** shift
    }
    if (id === CODE_SECTION) return length
    at += length
  }
  throw new Error('a module without code')
}

const bytes = new Uint8Array(readFileSync(process.argv[2]))
const startedMs = performance.now()
const rewritten = rewrite(bytes, {
  floats: 'canonical',
  stackLimitSlots: STACK_LIMIT_SLOTS_DEFAULT,
  memoryLimitPages: MEMORY_LIMIT_PAGES_DEFAULT,
})
const answer: RewriteAnswer = {
  seconds: (performance.now() - startedMs) / 1000,
  bytesBefore: bytes.length,
  codeGrowth: codeBytes(rewritten.bytes) / codeBytes(bytes),
}
process.stdout.write(JSON.stringify(answer))
