/** Rewritten modules, kept by what decides them: the module, the rewriter's version and its options. */
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { canonical, hex, utf8, type Computation, type Sha256 } from '@reprise/core'
import {
  Continuations,
  nameFirstCalls,
  namesFirstCalls,
  REWRITER_VERSION,
  rewrite,
  sectionPlaces,
  type KeptStack,
  type ModuleFacts,
  type RewriteOptions,
} from '@reprise/wasm'
import { writeWhole } from './kept-file.ts'
import { readKeptModule, writeKeptModule, type KeptModule } from './kept-module.ts'

export interface LoadedModule {
  readonly module: WebAssembly.Module
  readonly facts: ModuleFacts
  /** It has no data: only a guest that is restored may begin with it. */
  readonly isEmptied: boolean
  /** For captures: reads the program once more, but for a stack whose continuations were kept. */
  readonly continuations: (kept?: KeptStack) => Continuations
  /**
   * Told the functions that a warm start called first, the second time has the kept one name those of both, to be compiled beside one
   * another from then on; undefined where they are named, or not wanted.
   */
  readonly nameFirstCalls: ((functions: readonly number[]) => void) | undefined
  readonly cached: boolean
  readonly elapsedMs: number
}

/** Of a computation, what decides its rewritten module and how that is compiled. */
export interface WantedModule extends Pick<Computation, 'floats' | 'limits'> {
  readonly program: Pick<Computation['program'], 'sha256'>
  readonly start?: object | undefined
}

export interface RewriteContext {
  /** Where rewritten modules are kept. */
  readonly folder: string
  readonly sha256: Sha256
}

/** A module that was loaded before it was known that it is the one. */
export interface ExpectedModule extends Pick<
  LoadedModule,
  'module' | 'facts' | 'isEmptied' | 'elapsedMs' | 'nameFirstCalls'
> {
  readonly path: string
  readonly isWarm: boolean
}

/** Undefined when it is not kept: to be made, it must be sure. */
export function loadExpected(wanted: WantedModule, { folder, sha256 }: RewriteContext): ExpectedModule | undefined {
  const startedMs = performance.now()
  const path = pathOf(optionsOf(wanted), wanted, { folder, sha256 })
  const isWarm = wanted.start !== undefined
  const kept = readKeptModule(path, { isEmptied: isWarm })
  if (kept === undefined) return undefined
  const made = { ...compileKept(kept, path, { isWarm }), facts: kept.facts, isEmptied: kept.isEmptied }
  return { path, isWarm, ...made, elapsedMs: performance.now() - startedMs }
}

/**
 * @param options.lookout - So that the guest can be left in host calls too, to be looked at.
 * @param options.isRestored - All of the guest's memory comes from elsewhere: then the module may be an emptied one.
 * @param options.expected - Taken when it is what is wanted.
 */
export function loadRewritten(
  program: () => Uint8Array,
  wanted: WantedModule,
  { folder, sha256 }: RewriteContext,
  {
    lookout = false,
    isRestored = false,
    expected,
  }: {
    readonly lookout?: boolean
    readonly isRestored?: boolean
    readonly expected?: ExpectedModule | undefined
  } = {},
): LoadedModule {
  const startedMs = performance.now()
  const options = optionsOf(wanted, lookout)
  const isWarm = wanted.start !== undefined
  const continuations = (stack?: KeptStack): Continuations => new Continuations(program, options, stack)
  const path = pathOf(options, wanted, { folder, sha256 })
  if (expected?.path === path && expected.isWarm === isWarm && (isRestored || !expected.isEmptied)) {
    const { module, facts, isEmptied, nameFirstCalls: names, elapsedMs } = expected
    return { module, facts, isEmptied, continuations, nameFirstCalls: names, cached: true, elapsedMs }
  }
  const kept = readKeptModule(path, { isEmptied: isRestored })
  const rewritten = kept ?? { ...rewrite(program(), options), isEmptied: false }
  const made = kept === undefined ? compileNew(rewritten, path, { isWarm }) : compileKept(kept, path, { isWarm })
  return {
    ...made,
    facts: rewritten.facts,
    isEmptied: rewritten.isEmptied,
    continuations,
    cached: kept !== undefined,
    elapsedMs: performance.now() - startedMs,
  }
}

type Compiled = Pick<LoadedModule, 'module' | 'nameFirstCalls'>

function compileNew(
  rewritten: Pick<KeptModule, 'bytes' | 'facts'>,
  path: string,
  { isWarm }: { readonly isWarm: boolean },
): Compiled {
  const module = compile(rewritten.bytes, { isWarm, isKept: false })
  writeKeptModule(path, rewritten)
  return { module, nameFirstCalls: isWarm ? naming(module, path) : undefined }
}

function compileKept({ bytes }: KeptModule, path: string, { isWarm }: { readonly isWarm: boolean }): Compiled {
  const module = compile(bytes, { isWarm, isKept: true })
  const nameFirstCalls = isWarm && !namesFirstCalls(bytes) ? naming(module, path) : undefined
  // V8 has a copy. With this one a thread whose guest has tens of megabytes is above what V8 lets pass without a collection.
  bytes.buffer.transfer(0)
  return { module, nameFirstCalls }
}

function optionsOf({ floats, limits }: WantedModule, lookout = false): RewriteOptions {
  return {
    floats,
    stackLimitSlots: limits.stackSlots,
    memoryLimitPages: limits.memoryPages,
    capture: true,
    ...(lookout && { lookout }),
  }
}

function pathOf(options: RewriteOptions, { program }: WantedModule, { folder, sha256 }: RewriteContext): string {
  const key = sha256(utf8(canonical({ options: { ...options }, program: program.sha256, rewriter: REWRITER_VERSION })))
  return join(folder, `${hex(key)}.rewritten`)
}

function compile(
  bytes: Uint8Array<ArrayBuffer>,
  { isWarm, isKept }: { readonly isWarm: boolean; readonly isKept: boolean },
): WebAssembly.Module {
  chooseTier(bytes)
  const hints = isWarm && namesFirstCalls(bytes)
  if (hints) setFlagsFromString('--experimental-wasm-compilation-hints')
  if (isWarm) setFlagsFromString(`--wasm-tiering-budget=${WARM_TIERING_BUDGET}`)
  // What is kept was validated when it was made: half the time of reading 15 MB.
  if (isKept) setFlagsFromString('--wasm-lazy-validation')
  try {
    return new WebAssembly.Module(bytes)
  } finally {
    // A module keeps what it was made with. As long as a flag differs from what Node was built with, all threads compile
    // what they load anew, Node's own files too: more than twice the time.
    setFlagsFromString('--no-wasm-lazy-validation')
    if (hints) setFlagsFromString('--no-experimental-wasm-compilation-hints')
    if (isWarm) setFlagsFromString(`--wasm-tiering-budget=${TIERING_BUDGET}`)
  }
}

/** So many are compiled before the program runs, whatever it calls: some tens of milliseconds. */
const FIRST_CALLS_MAX = 2048

/**
 * Of two runs, what both call: a script of a hundred modules calls twice as much as one of a line, and all that is named is
 * compiled before either begins. Until there are two, what the first one called stands in a file beside the module.
 */
function naming(module: WebAssembly.Module, path: string): NonNullable<LoadedModule['nameFirstCalls']> {
  const calledBefore = `${path}.calls`
  return (functions) => {
    const imported = WebAssembly.Module.imports(module).filter(({ kind }) => kind === 'function').length
    const called = [...new Set(functions)].filter((index) => index >= imported).slice(0, FIRST_CALLS_MAX)
    const before = readCalls(calledBefore)
    if (before === undefined)
      return writeWhole(calledBefore, [utf8(JSON.stringify(called))], 'what the program called first')
    const kept = readKeptModule(path, { isEmptied: false })
    // Another process was sooner.
    if (kept === undefined || namesFirstCalls(kept.bytes)) return
    const first = called.filter((index) => before.has(index)).toSorted((a, b) => a - b)
    writeKeptModule(path, { bytes: nameFirstCalls(kept.bytes, first), facts: kept.facts })
    rmSync(calledBefore, { force: true })
  }
}

/** Undefined where there are none. Of a damaged file nothing comes but numbers, of which none counts that was not called. */
function readCalls(path: string): ReadonlySet<unknown> | undefined {
  try {
    const calls: unknown = JSON.parse(readFileSync(path, 'utf8'))
    return Array.isArray(calls) ? new Set(calls) : undefined
  } catch {
    return undefined
  }
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
/** V8's own. */
const TIERING_BUDGET = 13_000_000
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
  const { start, end } = sectionPlaces(module).find(({ id }) => id === CODE_SECTION) ?? { start: 0, end: 0 }
  return end - start
}
