/**
 * Which module a command line will most likely run, told before it is read: by then it can be loaded. A guess that is
 * wrong costs work and nothing else.
 */
import { STACK_LIMIT_SLOTS_DEFAULT } from '@reprise/wasm'
import type { WantedModule } from '../machine/index.ts'
import type { InstalledRuntime } from '../runtimes/index.ts'
import { STOCK, wordsFor } from './chosen.ts'
import { stockNamed } from './runtime-files.ts'
import { DEFAULT_MEMORY_PAGES } from './settings.ts'

/** Options that do not change the module. */
const ALONE = new Set(['--cold', '--json', '--no-write-back', '--no-snapshots'])
const WITH_VALUE = new Set([
  ...['-o', '--output', '--attach', '--checkpoint', '--compare', '--host-rules', '--input', '--keep-snapshots'],
  ...['--max-lag-ms', '--seed', '--snapshot-ms', '--stdin', '--time'],
])

/**
 * @param words - What follows `reprise run`.
 * @param installed - The best of each name first.
 */
export function expectedModule(
  words: readonly string[],
  installed: readonly InstalledRuntime[],
): WantedModule | undefined {
  let at = 0
  let wanted: string | undefined
  for (; words[at]?.startsWith('-'); at++) {
    if (words[at] === '--runtime') wanted = words[++at]
    else if (WITH_VALUE.has(words[at])) at += 1
    else if (!ALONE.has(words[at])) return undefined
  }
  const [name, script] = wordsFor(wanted, words.slice(at))
  const runtime = runtimeOf(name, wanted === STOCK ? [] : installed)
  if (runtime === undefined) return undefined
  const isWarm = runtime.canBeWarm && !words.slice(0, at).includes('--cold') && isScript(script)
  return {
    floats: 'canonical',
    limits: { memoryPages: DEFAULT_MEMORY_PAGES, stackSlots: STACK_LIMIT_SLOTS_DEFAULT },
    program: { sha256: runtime.sha256 },
    ...(isWarm && { start: {} }),
  }
}

function runtimeOf(
  word: string | undefined,
  installed: readonly InstalledRuntime[],
): { readonly sha256: string; readonly canBeWarm: boolean } | undefined {
  const built = installed.find(({ manifest }) => manifest.name === word)?.manifest
  if (built !== undefined) return { sha256: built.module.sha256, canBeWarm: built.run.warm !== null }
  const stock = word === undefined ? undefined : stockNamed(word)
  return stock && { sha256: stock.sha256, canBeWarm: stock.warm !== undefined }
}

function isScript(word: string | undefined): boolean {
  return word !== undefined && (!word.startsWith('-') || word === '-c' || word === '-m')
}
