import { resolve } from 'node:path'
import { expect, test } from 'vitest'
import { readLock, readRecipe, recipeNames } from './recipe.ts'

const RECIPES = resolve(import.meta.dirname, '../../../../runtimes')

test.each(await recipeNames(RECIPES))('the lock of %s is of the recipe as it stands', async (name) => {
  const recipe = await readRecipe(RECIPES, name)
  const lock = await readLock(recipe)
  expect(lock?.recipe).toBe(recipe.digest)
})
