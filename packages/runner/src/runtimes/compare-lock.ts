/** Whether a runtime is what the lock of its recipe says. Format: spec/runtime.md §1.3. */
import type { BlobRef } from '@reprise/core'
import type { RuntimeManifest, Tool } from './manifest.ts'
import type { Recipe, RecipeLock } from './recipe.ts'

export type LockComparison =
  | { readonly kind: 'as-locked' }
  | {
      readonly kind: 'differs'
      readonly parts: readonly {
        readonly part: string
        readonly locked: BlobRef | null
        readonly built: BlobRef | null
      }[]
      /** Null: not there. */
      readonly tools: readonly {
        readonly package: string
        readonly locked: string | null
        readonly here: string | null
      }[]
    }
  | { readonly kind: 'not-comparable'; readonly why: string }

export function compareWithLock(
  manifest: RuntimeManifest,
  recipe: Pick<Recipe, 'digest' | 'components'>,
  lock: RecipeLock | undefined,
): LockComparison {
  if (lock === undefined) return { kind: 'not-comparable', why: 'the recipe has no lock yet' }
  if (lock.recipe !== manifest.recipe)
    return {
      kind: 'not-comparable',
      why: recipe.digest === manifest.recipe ? 'the lock is of another recipe' : 'it was built by another recipe',
    }
  if (manifest.components.length !== recipe.components.length)
    return { kind: 'not-comparable', why: 'it was built without some components' }
  const parts = (['module', 'library', 'licences'] as const).flatMap((part) => {
    const [locked, built] = [lock[part], manifest[part]]
    return locked?.sha256 === built?.sha256 ? [] : [{ part, locked, built }]
  })
  if (parts.length === 0) return { kind: 'as-locked' }
  return { kind: 'differs', parts, tools: differentTools(lock.toolchain, manifest.toolchain) }
}

function differentTools(
  locked: readonly Tool[],
  here: readonly Tool[],
): readonly { package: string; locked: string | null; here: string | null }[] {
  const versionsOf = (tools: readonly Tool[]): Map<string, string> =>
    new Map(tools.map((tool) => [tool.package, tool.version]))
  const [before, now] = [versionsOf(locked), versionsOf(here)]
  return [...new Set([...before.keys(), ...now.keys()])]
    .toSorted()
    .map((name) => ({ package: name, locked: before.get(name) ?? null, here: now.get(name) ?? null }))
    .filter((tool) => tool.locked !== tool.here)
}
