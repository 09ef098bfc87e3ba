/** Where building happens: below the cache, which may be deleted at any time. Format: spec/runtime.md §2.3. */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { runnerFolders } from '../home.ts'
import type { Recipe } from './recipe.ts'

export interface BuildFolders {
  readonly sources: string
  /** One folder for each recipe, by what decides what is built. */
  readonly builds: string
}

export function buildFolders(home: string): BuildFolders {
  const root = join(runnerFolders(home).cache, 'runtimes')
  return { sources: join(root, 'sources'), builds: join(root, 'builds') }
}

export interface BuildFolder {
  readonly folder: string
  readonly work: string
  readonly out: string
  readonly sources: string
  readonly empty: string
  readonly temporary: string
  readonly log: string
  /** There once OUT is whole. */
  readonly done: string
}

/** @param base - What the base's module is, so that another base is another build. */
export function buildFolder(home: string, recipe: Recipe, components: readonly string[], base: string): BuildFolder {
  const key = createHash('sha256')
    .update(JSON.stringify([recipe.digest, components, base]))
    .digest('hex')
  const folder = join(buildFolders(home).builds, `${recipe.name}-${key.slice(0, 16)}`)
  return {
    folder,
    work: join(folder, 'work'),
    out: join(folder, 'out'),
    sources: join(folder, 'sources'),
    empty: join(folder, 'home'),
    temporary: join(folder, 'tmp'),
    log: join(folder, 'build.log'),
    done: join(folder, 'done'),
  }
}
