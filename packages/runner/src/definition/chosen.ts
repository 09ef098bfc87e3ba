/** Which runtime a command means: one that is installed here, or the stock one. Rules: spec/runtime.md §4. */
import { join } from 'node:path'
import type { BlobRef } from '@reprise/core'
import { RunnerError } from '../error.ts'
import { findRuntime, LIBRARY_FILE, listRuntimes, MODULE_FILE, type InstalledRuntime } from '../runtimes/index.ts'
import { OTHER_NAMES } from './program.ts'
import { runtimeFile, runtimeNames, stockNamed } from './runtime-files.ts'
import type { StockRuntime } from './runtimes.ts'

/** A file, and what must be in it when it is one of ours: 20 MB need not be hashed for every run then. */
export interface NamedFile {
  readonly path: string
  readonly blob?: BlobRef
}

/** All that a definition needs to know of a runtime. */
export interface ChosenRuntime {
  /** The word on the command line. */
  readonly name: string
  readonly title: string
  /** Of an installed one; undefined: the stock one. */
  readonly id: string | undefined
  readonly module: NamedFile
  readonly library: { readonly archive: NamedFile; readonly at: string } | undefined
  readonly argv: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  readonly takes: 'script' | 'arguments'
  /** See warm-kinds.ts; undefined: it cannot begin warm. */
  readonly warm: string | undefined
}

/** Names the stock runtime for `--runtime`. */
export const STOCK = 'stock'

/**
 * With `--runtime` its name may be left out before a script, or be what the native program is called.
 *
 * @param wanted - As `--runtime`.
 * @param command - PROGRAM and ARGS.
 */
export function wordsFor(wanted: string | undefined, command: readonly string[]): readonly string[] {
  const [word] = command
  if (wanted === undefined || wanted === STOCK || word === undefined || /\.ya?ml$/.test(word)) return command
  const isNamed = stockNamed(word) !== undefined || Object.hasOwn(OTHER_NAMES, word) || word === wanted
  return [wanted, ...(isNamed ? command.slice(1) : command)]
}

/**
 * @param name - As PROGRAM.
 * @param wanted - As `--runtime`: a name, the beginning of an id, or `stock`.
 * @throws RunnerError `RUNTIME_UNKNOWN`.
 */
export async function chooseRuntime(home: string, name: string, wanted: string | undefined): Promise<ChosenRuntime> {
  const stock = stockNamed(name)
  if (wanted === STOCK) {
    if (stock !== undefined) return ofStock(stock)
    throw new RunnerError('RUNTIME_UNKNOWN', {
      message: `no runtime ${JSON.stringify(name)} comes with Reprise`,
      hint: `there are: ${runtimeNames.join(', ')}`,
    })
  }
  if (wanted !== undefined) return ofInstalled(await findRuntime(home, wanted))
  if (stock === undefined) return ofInstalled(await findRuntime(home, name))
  const { runtimes } = await listRuntimes(home)
  const best = runtimes.find(({ manifest }) => manifest.name === name)
  return best === undefined ? ofStock(stock) : ofInstalled(best)
}

/** The words that mean a runtime here. */
export async function runtimeWords(home: string): Promise<readonly string[]> {
  const { runtimes } = await listRuntimes(home)
  return [...new Set([...runtimeNames, ...runtimes.map(({ manifest }) => manifest.name)])]
}

function ofStock({
  name,
  title,
  module,
  library,
  argv,
  environment,
  takes,
  warm,
  ...blob
}: StockRuntime): ChosenRuntime {
  return {
    ...{ name, title, id: undefined, argv, environment, takes, warm },
    module: { path: runtimeFile(module), blob: blobOf(blob) },
    library: library && { archive: { path: runtimeFile(library.archive), blob: blobOf(library) }, at: library.at },
  }
}

function ofInstalled({ id, folder, manifest }: InstalledRuntime): ChosenRuntime {
  const { name, title, run, module, library } = manifest
  return {
    ...{ name, title, id, argv: run.arguments, environment: run.environment, takes: run.takes },
    warm: run.warm ?? undefined,
    module: { path: join(folder, MODULE_FILE), blob: module },
    library:
      library === null
        ? undefined
        : { archive: { path: join(folder, LIBRARY_FILE), blob: library }, at: run.libraryAt },
  }
}

function blobOf({ lengthBytes, sha256 }: BlobRef): BlobRef {
  return { lengthBytes, sha256 }
}
