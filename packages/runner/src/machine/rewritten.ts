/** Rewritten modules, kept by what decides them: the module, the rewriter's version and its options. */
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { canonical, concat, fromUtf8, hex, utf8, type Computation, type Sha256 } from '@reprise/core'
import { Continuations, REWRITER_VERSION, rewrite, type KeptStack, type ModuleFacts } from '@reprise/wasm'
import { readKept, writeKept } from './kept-file.ts'

export interface LoadedModule {
  readonly module: WebAssembly.Module
  readonly facts: ModuleFacts
  /** For captures: reads the program once more, but for a stack whose continuations were kept. */
  readonly continuations: (kept?: KeptStack) => Continuations
  readonly cached: boolean
  readonly elapsedMs: number
}

/** Entry: 4 bytes length of the facts (big-endian), facts as JSON, the module. */
const LENGTH_BYTES = 4

/** @param lookout - So that the guest can be left in host calls too, to be looked at. */
export function loadRewritten(
  program: () => Uint8Array,
  computation: Pick<Computation, 'floats' | 'limits' | 'program'> & {
    readonly start?: Computation['start'] | undefined
  },
  folder: string,
  sha256: Sha256,
  lookout = false,
): LoadedModule {
  const startedMs = performance.now()
  const options = {
    floats: computation.floats,
    stackLimitSlots: computation.limits.stackSlots,
    memoryLimitPages: computation.limits.memoryPages,
    capture: true,
    ...(lookout && { lookout }),
  }
  const key = sha256(utf8(canonical({ options, program: computation.program.sha256, rewriter: REWRITER_VERSION })))
  const path = join(folder, `${hex(key)}.rewritten`)
  const kept = readEntry(path, sha256)
  const rewritten = kept ?? rewrite(program(), options)
  chooseTier(rewritten.bytes)
  if (computation.start !== undefined) setFlagsFromString(`--wasm-tiering-budget=${WARM_TIERING_BUDGET}`)
  // What is kept was validated when it was made: half the time of reading 15 MB.
  setFlagsFromString(kept === undefined ? '--no-wasm-lazy-validation' : '--wasm-lazy-validation')
  const module = new WebAssembly.Module(rewritten.bytes)
  if (kept === undefined) writeEntry(path, rewritten, sha256)
  const continuations = (stack?: KeptStack): Continuations => new Continuations(program, options, stack)
  return {
    module,
    facts: rewritten.facts,
    continuations,
    cached: kept !== undefined,
    elapsedMs: performance.now() - startedMs,
  }
}

interface Entry {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly facts: ModuleFacts
}

function readEntry(path: string, sha256: Sha256): Entry | undefined {
  const entry = readKept(path, sha256)
  if (entry === undefined) return undefined
  const factsEnd = LENGTH_BYTES + new DataView(entry.buffer, entry.byteOffset).getUint32(0)
  return {
    bytes: entry.subarray(factsEnd),
    facts: JSON.parse(fromUtf8(entry.subarray(LENGTH_BYTES, factsEnd))) as ModuleFacts,
  }
}

function writeEntry(path: string, { bytes, facts }: Entry, sha256: Sha256): void {
  const factsText = utf8(JSON.stringify(facts))
  const length = new Uint8Array(LENGTH_BYTES)
  new DataView(length.buffer).setUint32(0, factsText.length)
  writeKept(path, concat(length, factsText, bytes), { sha256, what: 'the rewritten program' })
}

/** Of the code section; more is compiled by V8's baseline tier first. */
export const OPTIMISED_CODE_BYTES_MAX = 1 << 20
/**
 * V8 derives the last two from the first only on its own command line; at run time, an optimiser that looks for the
 * baseline tier's feedback ends the process.
 */
const TIER_FLAGS = ['liftoff', 'wasm-dynamic-tiering', 'wasm-deopt'] as const

/**
 * About how many bytes of code a function runs through before it is optimised; V8's own is 13 million. The loop of CPython is
 * 113 kB: it would be optimised from the first instructions of a script on, for a quarter of a second that the end of the process
 * waits for. With this one it is when a few milliseconds were spent in it: a script of one line takes two thirds of it. With
 * 2^30 a loop of a second takes a fifth longer.
 */
const WARM_TIERING_BUDGET = 3 << 27
/**
 * WebAssembly has no on-stack replacement: a hot loop stays in the tier that its function was entered in. So small
 * programs are optimised at once, and large ones, where that takes seconds, when they are hot.
 */
function chooseTier(module: Uint8Array): void {
  const prefix = codeSectionBytes(module) <= OPTIMISED_CODE_BYTES_MAX ? '--no-' : '--'
  for (const flag of TIER_FLAGS) setFlagsFromString(prefix + flag)
}

const CODE_SECTION = 10

/** Length of the code section of a valid module; 0 without one. */
export function codeSectionBytes(module: Uint8Array): number {
  for (let at = 8; at < module.length;) {
    const id = module[at++]
    let lengthBytes = 0
    for (let shift = 0; ; shift += 7) {
      const byte = module[at++]
      lengthBytes += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) break
    }
    if (id === CODE_SECTION) return lengthBytes
    at += lengthBytes
  }
  return 0
}
