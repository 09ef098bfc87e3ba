/**
 * Makes runtimes/python/profile.xz, which says how often each part of CPython runs, and by which the recipe `python`
 * optimises it:
 *
 *     node tools/python-profile.ts
 *
 * The recipe's module that counts what it does (its WITH=counted) runs the tests that CPython's own builds with a profile
 * run. It does so in the machine: runs of one module give the same counts.
 *
 * To be made again when sources, patches or the compiler change: where a function is no longer the one that was counted, the
 * compiler says so and does without. It takes some ten minutes of two processors; the sources have to be there: reprise runtime build python.
 */

import { execFileSync, spawn } from 'node:child_process'
import { hash } from 'node:crypto'
import { createWriteStream, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { repriseHome } from '@reprise/host'
import { readRecipe, scriptEnvironment } from '@reprise/runner'
import { profileOf } from './profile.ts'
import { sourceFile, unpackTests } from './python-sources.ts'

const root = join(import.meta.dirname, '..')
const work = join(repriseHome(), 'cache', 'python-profile')
const recipe = await readRecipe(join(root, 'runtimes'), 'python')
const jobs = availableParallelism()

/** The module that counts, and its library. */
function build(): void {
  const sources = join(work, 'sources')
  mkdirSync(sources)
  for (const { name } of recipe.sources.flatMap(({ files }) => files))
    symlinkSync(sourceFile(name), join(sources, name))
  mkdirSync(join(work, 'build'))
  execFileSync('sh', [join(recipe.folder, 'build.sh')], {
    cwd: join(work, 'build'),
    stdio: ['ignore', 2, 2],
    env: scriptEnvironment({
      ...{ recipe, base: '', jobs, components: [...recipe.components.map(({ name }) => name), 'counted'] },
      at: { empty: work, temporary: work, sources, work: join(work, 'build'), out: join(work, 'out') },
    }),
  })
}

/** The counts of one module of tests, which has to come to its end. */
async function count(tests: string, name: string): Promise<string> {
  const folder = join(work, 'runs', name)
  mkdirSync(folder, { recursive: true })
  const inputs = [`${tests}:/`, `${join(work, 'out', 'lib')}:/python`].flatMap((input) => ['--input', input])
  const environment = ['PYTHONHOME=/python', 'PYTHONHASHSEED=0'].flatMap((variable) => ['--env', variable])
  const words = ['run', ...inputs, ...environment, '--no-snapshots', '-o', 'r.reprise']
  const log = createWriteStream(join(folder, 'log'))
  await once(log, 'open')
  const command = [...words, join(work, 'out', 'runtime.wasm'), 'regression.py', name]
  const child = spawn(join(root, 'reprise'), command, { cwd: folder, stdio: ['ignore', log, log] })
  await once(child, 'close')
  const counts = join(folder, 'counts')
  if (!existsSync(counts)) throw new Error(`${name} did not come to its end: ${join(folder, 'log')}`)
  console.log(`${name}   counted`)
  return readFileSync(counts, 'latin1')
}

rmSync(work, { recursive: true, force: true })
mkdirSync(work, { recursive: true })
build()
const tests = join(work, 'tests')
mkdirSync(tests)
unpackTests(tests)
const listed = readFileSync(join(tests, 'test', 'libregrtest', 'pgo.py'), 'utf8')
const names = [...listed.matchAll(/^ {4}'(test_\w+)'/gm)].map(([, name]) => name)
if (names.length === 0) throw new Error(`CPython's list of tests for profiles is not as it was: ${tests}`)
const counted: string[] = []
let next = 0
const worker = async (): Promise<void> => {
  while (next < names.length) {
    const at = next++
    counted[at] = await count(tests, names[at])
  }
}
await Promise.all(Array.from({ length: jobs }, worker))
const profile = profileOf(counted)
execFileSync('sh', ['-c', 'xz -9e -T1 >"$1.new" && mv "$1.new" "$1"', 'sh', join(recipe.folder, 'profile.xz')], {
  input: profile,
})
console.log(`${names.length} modules of tests, sha256 ${hash('sha256', profile)}`)
