/**
 * Runs NumPy's own tests in the module that the recipe `numpy` builds, under Node's WASI, and holds what fails against
 * runtimes/numpy/tests.json, which says why. After them come tests of our own of what our patches did:
 *
 *     node tools/numpy-tests.ts [FILE…]      (FILE: such as core/tests/test_dtype.py, or /tools/numpy-loops.py)
 *
 * The tests stand in for NumPy itself here, so neither rewriting nor signing is of interest. Each file runs in a process of
 * its own, for a trap ends that. Ends with 1 when something else fails than is known, or something known no longer does.
 *
 * The runtime `python`, which is built when it is not there, is what the module is linked with: tools/numpy-tests.sh. All
 * of this is kept below REPRISE_HOME.
 */

import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { repriseHome } from '@reprise/host'

const root = join(import.meta.dirname, '..')
/** Of one file; the longest takes a tenth of it. */
const HANGING_MS = 1_800_000
/** Of NumPy's own; a file with a whole path is one of ours, beside this one. */
const FOLDER = '/python/lib/python3.11/site-packages/numpy/'

/** `ended` says why a file ends before its tests do. */
interface Known {
  /** Why tests fail: by class, by test, or by test with its parameters. */
  readonly failed?: Readonly<Record<string, string>>
  readonly ended?: string
}

interface Outcome {
  readonly summary: string
  readonly failed: readonly string[]
  readonly ended: boolean
}

const known = JSON.parse(readFileSync(join(root, 'runtimes/numpy/tests.json'), 'utf8')) as Record<string, Known>

/** What the recipe is built on, and the folder that the module with the tests stands in then. */
function prepare(): string {
  const words = ['runtime', 'build', 'python', '--json']
  const answer = execFileSync(join(root, 'reprise'), words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
  const base = join(dirname((JSON.parse(answer) as { readonly log: string }).log), 'out')
  const work = join(repriseHome(), 'cache', 'numpy-tests')
  const sources = join(repriseHome(), 'cache', 'runtimes', 'sources')
  execFileSync('sh', [join(root, 'tools', 'numpy-tests.sh'), base, work, sources], { stdio: ['ignore', 2, 2] })
  return work
}

function runFile(work: string, file: string): Outcome {
  const guest = join(work, 'guest')
  mkdirSync(guest, { recursive: true })
  const words = [
    '--no-warnings',
    join(root, 'tools', 'numpy-tests.mjs'),
    work,
    file.startsWith('/') ? file : `${FOLDER}${file}`,
  ]
  const { stdout, stderr } = spawnSync(process.execPath, words, {
    ...{ cwd: guest, encoding: 'utf8', timeout: HANGING_MS, maxBuffer: 1 << 28 },
  })
  const said = `${stdout}\n${stderr}`
  writeFileSync(join(work, 'logs', `${file.replaceAll('/', '_')}.log`), said)
  const failed = [...said.matchAll(/^(?:FAILED|ERROR) \S*?\.py(?:::(\S+))?/gm)].map(([, id = 'the file']) => id)
  const [summary] = /^(?:=+ )?\d+ \w+(?:, \d+ \w+)* in [\d.]+s.*$/m.exec(said) ?? []
  return { summary: summary?.replaceAll('=', '').trim() ?? '', failed, ended: summary === undefined }
}

/** Whether a reason that is given for a class or a test is one for this test. */
function isFor(key: string, id: string): boolean {
  return id === key || id.startsWith(`${key}::`) || id.startsWith(`${key}[`)
}

/** What is not as it is known, a line each. */
function surprises(file: string, { failed, ended }: Outcome): readonly string[] {
  const { failed: why = {}, ended: whyEnded } = known[file] ?? {}
  const keys = Object.keys(why)
  return [
    ...failed.filter((id) => !keys.some((key) => isFor(key, id))).map((id) => `fails: ${id}`),
    ...keys
      .filter((key) => !ended && !failed.some((id) => isFor(key, id)))
      .map((key) => `known to fail, and does not: ${key}`),
    ...(ended && whyEnded === undefined ? [`${file} ended before its tests did`] : []),
    ...(!ended && whyEnded !== undefined ? [`${file} is known to end early, and does not`] : []),
  ]
}

const work = prepare()
mkdirSync(join(work, 'logs'), { recursive: true })
const asked = process.argv.slice(2)
let isAsKnown = true
for (const file of asked.length > 0 ? asked : Object.keys(known)) {
  const outcome = runFile(work, file)
  console.log(`${file}   ${outcome.summary}`)
  for (const line of surprises(file, outcome)) {
    console.log(`  ${line}`)
    isAsKnown = false
  }
}
console.log(`what each said: ${join(work, 'logs')}`)
process.exitCode = isAsKnown ? 0 : 1
