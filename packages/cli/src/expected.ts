/** What the engine's thread may load before the command line is read. */
import { repriseHome } from '@reprise/host'
import { expectedModule, expectModule, listRuntimes } from '@reprise/runner'
import { openStoreEarly } from './context.ts'

/** @param words - What follows `reprise run`. */
export async function tellExpected(words: readonly string[]): Promise<void> {
  const home = repriseHome()
  const module = expectedModule(words, (await listRuntimes(home)).runtimes)
  if (module === undefined) return
  expectModule(module, home)
  openStoreEarly(home)
}
