/** `--package`: pure Python packages, each file by digest, in a read-only place of their own before the library. */
import { access, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { ComputationMount } from '@reprise/core'
import type { BlobStore } from '../blobs/index.ts'
import { readFailure, RunnerError } from '../error.ts'
import { freePlace, INPUT_BYTES_MAX, INPUT_FILES_MAX, type Placement } from './inputs.ts'
import { sortedByPath } from './paths.ts'
import { scanFolder, TooMuch } from './scan.ts'
import { hasCompiled, isCompiled, isWheelName, readWheel, wrongPackage, type PackageFile } from './wheel.ts'

export interface Packages {
  readonly mount: ComputationMount
  readonly environment: Readonly<Record<string, string>>
}

/**
 * @param paths - Wheels, folders that are a package, or folders with packages; absolute.
 * @param environment - What the user sets.
 * @throws RunnerError `PACKAGE`, `INPUT_MISSING`, `INPUT_UNREADABLE`; `USAGE` when PYTHONPATH is the user's own.
 */
export async function placePackages(
  paths: readonly string[],
  {
    store,
    placement,
    environment,
  }: {
    readonly store: BlobStore
    readonly placement: Placement
    readonly environment: Readonly<Record<string, string>> | undefined
  },
): Promise<Packages> {
  if (environment?.['PYTHONPATH'] !== undefined) {
    throw new RunnerError('USAGE', {
      message: '--package and --env PYTHONPATH=… both say where packages are',
      hint: 'leave one of them out',
    })
  }
  const files = new Map<string, PackageFile & { readonly from: string }>()
  for (const path of paths) {
    for (const file of await filesOf(path)) {
      const before = files.get(file.path)
      if (before !== undefined) throw wrongPackage(path, `has ${file.path}, and so has ${before.from}`)
      files.set(file.path, { ...file, from: path })
    }
  }
  const sorted = sortedByPath([...files.values()], ({ path }) => path)
  const refs = await store.putAll(sorted.map(({ source }) => source))
  const at = freePlace('/packages', placement)
  const inputs = refs.map((ref, i) => ({ ...ref, path: sorted[i].path, readOnly: true }))
  return {
    mount: { at, output: false, source: { files: inputs, kind: 'files' }, writable: false },
    environment: { PYTHONPATH: at },
  }
}

async function filesOf(path: string): Promise<readonly PackageFile[]> {
  const found = await stat(path).catch((error: unknown) => {
    throw readFailure(error, path)
  })
  if (found.isDirectory()) return await filesOfFolder(path)
  if (found.isFile() && isWheelName(path)) return await readWheel(path)
  throw wrongPackage(path, 'is neither a wheel nor a folder')
}

/** A folder with `__init__.py` is a package of its name. */
async function filesOfFolder(folder: string): Promise<readonly PackageFile[]> {
  const limits = { files: INPUT_FILES_MAX, bytes: INPUT_BYTES_MAX }
  const scan = await scanFolder({ folder, limits, never: [] })
  if (scan instanceof TooMuch) throw wrongPackage(folder, `has more than ${limits.files} files`)
  const isPackage = await access(join(folder, '__init__.py')).then(
    () => true,
    () => false,
  )
  const prefix = isPackage ? `${basename(folder)}/` : ''
  const files = scan.files.filter(({ path }) => !/(?:^|\/)__pycache__\//.test(path))
  const compiled = files.find(({ path }) => isCompiled(path))
  if (compiled !== undefined) throw hasCompiled(folder, compiled.path)
  if (files.length === 0) throw wrongPackage(folder, 'is empty')
  return files.map(({ path, hostPath }) => ({ path: prefix + path, source: hostPath }))
}
